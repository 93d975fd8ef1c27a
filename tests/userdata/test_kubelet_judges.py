"""The kubelet itself against `explain`: what it refuses of the flags and the configuration of a NodeConfig."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from amigen.spec.kubelet_api import kubelet_api
from amigen.spec.kubelet_values import setting
from amigen.userdata.explain import explain
from tests.real.build import program
from tests.userdata.test_nodeadm_judges import NODE

pytestmark = pytest.mark.slow  # built by `make proofs`

FLAGS = """
--container-runtime=remote
--network-plugin=cni
--max-pod=20
max-pods=20
-max-pods=20
-v=2
--max-pods=20 --v=2
--max-pods 20
--max-pods=many
--max-pods=-1
--max_pods=20
--max-pods
--node-labels=node-role.kubernetes.io/worker=true
--node-labels=node.kubernetes.io/a=b
--node-labels=a=b c
--node-labels='a=b,c=d'
--node-labels="a=b"
--node-labels=a
--node-labels=a=_
--node-labels=
-h
--register-with-taints=a=b:Never
--register-with-taints=a=b:NoSchedule
--register-with-taints=a:NoExecute
--kube-reserved=cpu:100m
--kube-reserved=cpu=100m,memory=1Gi
--kube-reserved=cpu=1GB
--kube-reserved=gpu=1
--feature-gates=Foo=true
--feature-gates=AllAlpha=false
--feature-gates=ContextualLogging=true
--feature-gates=AllAlpha=maybe
--fail-swap-on
--reserved-cpus=0
--address=localhost
--address=0.0.0.0
--v=debug
--enforce-node-allocatable=pods,all
--minimum-image-ttl-duration=-1s
--eviction-hard=memory.available<5%
--eviction-hard=memory.available=5%
--image-gc-high-threshold=101
--image-gc-high-threshold=70
--topology-manager-policy=best
--streaming-connection-idle-timeout=4
--streaming-connection-idle-timeout=4h
--container-log-max-size=50MB
--serialize-image-pulls=no

--event-qps=-1
--registry-qps=0
--cluster-dns=10.100.0.10
--read-only-port=70000
--hairpin-mode=x
--register-with-taints=a=b:NoSchedule,a=c:NoSchedule
--register-with-taints=a=b:NoSchedule,a=c:NoExecute
--max-pods=0x10
--max-pods=08
--eviction-hard=memory.available<101%
--eviction-soft=memory.available<5%
--eviction-soft=memory.available<5% --eviction-soft-grace-period=memory.available=1m
--cgroups-per-qos=false
--cgroups-per-qos=false --enforce-node-allocatable=
--serialize-image-pulls=true
--logging-format=x
-v
-v 4
-v4
-v=x
--vmodule=a
--vmodule=a=1,b=2
--reserved-memory=x
--reserved-memory=0:memory=1Gi
--manifest-url-header=a
--manifest-url-header=a:b
--log-text-info-buffer-size=x
--runonce
--runonce=false
""".strip("\n").split("\n")
CONFIGS = """
maxPods: '110'
maxPods: 110.5
maxPods: -1
maxPods: null
shutdownGracePeriod: 20s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 3m
{shutdownGracePeriod: 20s, shutdownGracePeriodCriticalPods: 10s}
reservedSystemCPUs: '0'
{reservedSystemCPUs: '0', systemReservedCgroup: '', kubeReservedCgroup: ''}
enforceNodeAllocatable: [pods, all]
enforceNodeAllocatable: [pods]
containerLogMonitorInterval: 1s
containerLogMonitorInterval: 10s
cpuCFSQuotaPeriod: 100ms
cpuCFSQuotaPeriod: 2s
imageMinimumGCAge: -1s
{evictionSoft: {memory.available: 5%}, evictionSoftGracePeriod: {memory.available: 5}}
podLogsDir: logs
iptablesMasqueradeBit: 32
memoryReservationPolicy: Soft
maxPod: 5
shutdownGracePeriod: 30
shutdownGracePeriod: 30 seconds
shutdownGracePeriod: 40s
featureGates: {NoSuchGate: true}
maxPods: 9
featureGates: {AllAlpha: 'true'}
featureGates: {AllAlpha: false}
featureGates: {ContextualLogging: true, LoggingAlphaOptions: true, LoggingBetaOptions: true}
evictionHard: {memory.available: 500}
evictionHard: {memory.available: 500MB}
evictionHard: {memory.available: 5%}
evictionHard: {memory: 5%}
evictionHard: {nodefs.available: 1.5Gi, pid.available: 5%}
evictionHard: {memory.available: -1Gi}
evictionSoft: {memory.available: 5%}
kubeReserved: [cpu=1]
kubeReserved: {cpu: 1}
kubeReserved: {cpu: '1'}
{evictionSoft: {memory.available: 5%}, evictionSoftGracePeriod: {memory.available: 1m}}
clusterDNS: 10.0.0.10
kubeReserved: {cpu: -1m}
systemReserved: {memory: 1G, pid: '100'}
systemReserved: {nvidia.com/gpu: '1'}
registerWithTaints: ['a=b:NoSchedule']
registerWithTaints: [{key: a, effect: NoSchedule}]
kind: Kubelet
apiVersion: kubelet.config.k8s.io/v1
apiVersion: kubelet.config.k8s.io/v1beta1
serializeImagePulls: 'no'
topologyManagerPolicy: best
topologyManagerScope: node
hairpinMode: none
hairpinMode: off
imageGCHighThresholdPercent: 75
imageGCLowThresholdPercent: 85
imageGCHighThresholdPercent: 100
{imageGCHighThresholdPercent: 50, imageGCLowThresholdPercent: 40}
imageGCHighThresholdPercent: 101
containerLogMaxSize: 50MB
containerLogMaxSize: 50Mi
containerLogMaxFiles: 1
containerLogMaxFiles: 2
podsPerCore: -1
oomScoreAdj: -1001
maxParallelImagePulls: 0
maxParallelImagePulls: 5
a: b
nodeStatusMaxImages: -1
nodeStatusMaxImages: -2
readOnlyPort: 70000
registryPullQPS: -1
kubeAPIQPS: 0
containerLogMaxWorkers: 0
cpuCFSQuota: 1
memorySwap: {swapBehavior: LimitedSwap}
memorySwap: true
memorySwap: {swapBehavior: UnlimitedSwap}
maxPods: 110.0
registerWithTaints: [{key: a, effect: noSchedule}]
registerWithTaints: [{key: a b, effect: NoSchedule}]
registerWithTaints: [{effect: NoSchedule}]
registerWithTaints: [{key: a, value: b, effect: NoExecute}, {key: a, value: b, effect: NoExecute}]
featureGates: {RotateKubeletServerCertificate: false}
{serverTLSBootstrap: false, featureGates: {RotateKubeletServerCertificate: false}}
{serializeImagePulls: true, maxParallelImagePulls: 5}
{serializeImagePulls: false, maxParallelImagePulls: 5}
imageMaximumGCAge: 1m
imageMaximumGCAge: 1h
{imageMaximumGCAge: 1m, imageMinimumGCAge: 30s}
shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 10}]
shutdownGracePeriod: null
{shutdownGracePeriod: null, shutdownGracePeriodCriticalPods: null}
cgroupsPerQOS: false
{cgroupsPerQOS: false, enforceNodeAllocatable: []}
runOnce: true
logging: {format: x}
memoryThrottlingFactor: 2
tracing: {samplingRatePerMillion: -1}
userNamespaces: {idsPerPod: 5}
cpuCFSQuotaPeriod: 0s
crashLoopBackOff: {maxContainerRestartPeriod: 1h}
crashLoopBackOff: {maxContainerRestartPeriod: 0s}
crashLoopBackOff: {maxContainerRestartPeriod: 1m}
imageMinimumGCAge: 0s
containerLogMonitorInterval: 0s
""".strip("\n").split("\n")


def kubelet(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    judge = program("kubelet-rules", "kubelet-rules-judge")
    asked = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([judge], input=asked, capture_output=True, text=True, timeout=600, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(settings: dict[str, Any]) -> list[str]:
    node = yaml.safe_load(NODE)
    node["spec"]["kubelet"] = settings
    problems = explain(yaml.safe_dump(node).encode(), "self-managed", version="1.37").problems
    return [p.message for p in problems if p.reader == "kubelet" and p.severity == "error"]


def test_the_kubelet_starts_with_what_explain_accepts() -> None:
    settings = [{"flags": [text]} for text in FLAGS] + [{"config": yaml.safe_load(text)} for text in CONFIGS]
    # As nodeadm writes flags, and systemd splits them and takes off quotes.
    asked = [{**each, "flags": shlex.split(" ".join(each.get("flags", [])))} for each in settings]

    assert [
        (each, said, found)
        for each, said in zip(settings, kubelet(asked), strict=True)
        if bool(found := refused(each)) != bool(said["error"])
    ] == []


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by path in lower case, as `setting` names them."""
    if isinstance(value, dict):
        return {name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{path}.{key}").items()}
    return {path.removeprefix(".").removesuffix(".Duration").lower(): value}


# A value that is not the default, by the type of a flag, or by its name.
VALUES = {
    "bool": "false", "duration": "7m", "int32": "7", "int64": "7", "ip": "10.1.2.3", "stringSlice": "10.1.2.3",
    "mapStringString": "cpu=7m", "string": "7", "Level": "7", "pattern=N,...": "x=7", "[]v1.Taint": "a=b:NoSchedule",
    "reserved-memory": "0:memory=7Mi", "colonSeparatedMultimapStringString": "a:b",
}  # fmt: skip


def test_which_setting_a_flag_beats() -> None:
    """The configuration that the kubelet runs with, with each flag that it starts with."""
    api = kubelet_api("1.37")
    assert api
    names = [name for name in api.flags if name != "feature-gates"]
    words = [[f"--{name}={value}"] for name in names for value in (VALUES.get(api.flags[name], ""), "true")]
    plain, *answers = kubelet([{"flags": flags, "show": True} for flags in ([], *words)])
    before, seen = flat(plain["config"]), set()
    for (word,), answer in zip(words, answers, strict=True):
        name = word.partition("=")[0].removeprefix("--")
        after = flat(answer["config"]) if not answer["error"] else before
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        seen |= {name} if changed else set()
        # resolvConf is ResolverConfig inside of the kubelet.
        wanted = {"resolvconf": "resolverconfig"}.get(setting(name), setting(name))
        assert all(f"{path}.".startswith(f"{wanted}.") for path in changed), (name, changed)

    assert len(seen) > 60


def test_a_flag_that_beats_the_configuration_is_named() -> None:
    node = yaml.safe_load(NODE)
    node["spec"]["kubelet"] = {
        "flags": ["--registry-qps=0", "--anonymous_auth=false", "--kube-reserved=cpu=1", "--feature-gates=A=true"],
        "config": {
            "registryPullQPS": 5, "authentication": {"anonymous": {"enabled": True}}, "kubeReserved": {"cpu": "2"},
            "featureGates": {"B": True},
        },
    }  # fmt: skip
    found = explain(yaml.safe_dump(node).encode(), "self-managed").problems

    assert [p.message.split("spec.kubelet.config.")[1].split()[0] for p in found if p.rule == "flags"] == [
        "authentication.anonymous.enabled", "kubeReserved", "registryPullQPS"
    ]  # fmt: skip

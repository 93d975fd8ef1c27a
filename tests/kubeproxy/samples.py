"""Configurations and manifests as users have them."""

from __future__ import annotations

from typing import Any

# With comments, odd quotes and a field that no version knows: all of it must survive an edit.
KUBEADM_CONFIG = """\
# made by kubeadm; edited by Alice
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0   # all of them
clientConnection:
  acceptContentTypes: ""
  burst: 0
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
clusterCIDR: 10.244.0.0/16
conntrack:
  maxPerCore: null
iptables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""   # empty is rr
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
metricsBindAddress: ""
mode: ""
nodePortAddresses: null
someFutureField: {a: 1, b: [2, 3]}   # kept
winkernel:
  enableDSR: false
"""

EKS_CONFIG = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  kubeconfig: /var/lib/kube-proxy/kubeconfig
conntrack:
  maxPerCore: 32768
iptables:
  masqueradeAll: false
  masqueradeBit: 14
  minSyncPeriod: 0s
  syncPeriod: 30s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  syncPeriod: 30s
kind: KubeProxyConfiguration
metricsBindAddress: 0.0.0.0:10249
mode: "iptables"
nodePortAddresses: null
oomScoreAdj: -998
portRange: ""
"""


def config_map(
    name: str = "kube-proxy", key: str = "config.conf", text: str = KUBEADM_CONFIG, manager: str = ""
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "kube-system"}
    if manager:
        meta["managedFields"] = [{"manager": manager, "time": "2026-01-01T00:00:00Z"}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {key: text, "kubeconfig.conf": "other"}}


def daemon_set(
    config: str = "kube-proxy", key: str = "config.conf", image: str = "registry.k8s.io/kube-proxy:v1.37.2"
) -> dict[str, Any]:
    labels = {"k8s-app": "kube-proxy"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [
                        {
                            "name": "kube-proxy",
                            "image": image,
                            "command": ["/usr/local/bin/kube-proxy", f"--config=/var/lib/kube-proxy/{key}"],
                            "volumeMounts": [{"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"}],
                        }
                    ],
                    "volumes": [{"name": "kube-proxy", "configMap": {"name": config}}],
                },
            },
        },
    }

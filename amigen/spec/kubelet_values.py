"""What the kubelet refuses of settings whose type is right.

Sources: kubernetes 1.37 pkg/kubelet/apis/config/validation/validation.go; for policies and amounts pkg/kubelet/cm,
pkg/kubelet/eviction/helpers.go and parseResourceList in cmd/kubelet/app/server.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from amigen.base.errors import Problem
from amigen.spec.paths import key_path
from amigen.spec.shape import shape
from amigen.spec.values import Taint

# time.ParseDuration of Go.
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
DURATION = re.compile(rf"[-+]?(0|({_PART})+)")
# k8s.io/apimachinery pkg/api/resource/quantity.go.
QUANTITY = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PERCENT = re.compile(r"[0-9]+(\.[0-9]+)?%")

_RANGES: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("eventBurst", "eventRecordQPS", "kubeAPIBurst", "kubeAPIQPS", "maxOpenFiles"), (0, None)),
    **dict.fromkeys(("maxPods", "nodeLeaseDurationSeconds", "podsPerCore", "registryBurst"), (0, None)),
    **dict.fromkeys(("imageGCHighThresholdPercent", "imageGCLowThresholdPercent"), (0, 100)),
    **dict.fromkeys(("healthzPort", "readOnlyPort"), (0, 65535)),
    "port": (1, 65535),
    **dict.fromkeys(("iptablesDropBit", "iptablesMasqueradeBit"), (0, 31)),
    "containerLogMaxFiles": (2, None),
    "containerLogMaxWorkers": (1, None),
    "maxParallelImagePulls": (1, None),
    "nodeStatusMaxImages": (-1, None),
    "oomScoreAdj": (-1000, 1000),
    "registryPullQPS": (0, None),
    "tracing.samplingRatePerMillion": (0, None),
    "userNamespaces.idsPerPod": (65536, None),
}
# Seconds; for a shutdown zero means none.
_DURATIONS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("imageMaximumGCAge", "imageMinimumGCAge"), (0, 1e9)),
    **dict.fromkeys(("shutdownGracePeriod", "shutdownGracePeriodCriticalPods"), (1, 1e9)),
    "containerLogMonitorInterval": (3, 1e9),
    "cpuCFSQuotaPeriod": (0.001, 1),
    "crashLoopBackOff.maxContainerRestartPeriod": (1, 300),
}
_CHOICES = {
    "cpuManagerPolicy": ("none", "static"),
    "enforceNodeAllocatable": (
        *("pods", "system-reserved", "system-reserved-compressible"),
        *("kube-reserved", "kube-reserved-compressible", "none"),
    ),
    "hairpinMode": ("hairpin-veth", "promiscuous-bridge", "none"),
    "imagePullCredentialsVerificationPolicy": (
        *("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"),
    ),
    "logging.format": ("text", "json"),
    "memoryManagerPolicy": ("None", "Static"),
    "memoryReservationPolicy": ("None", "TieredReservation"),
    "memorySwap.swapBehavior": ("LimitedSwap", "NoSwap"),
    "topologyManagerPolicy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topologyManagerScope": ("container", "pod"),
}
_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pid")
_SIGNALS = (
    *("memory.available", "allocatableMemory.available", "pid.available"),
    *(f"{fs}.{what}" for fs in ("nodefs", "imagefs", "containerfs") for what in ("available", "inodesFree")),
)
_AMOUNTS = {
    **dict.fromkeys(("kubeReserved", "systemReserved"), _RESOURCES),
    **dict.fromkeys(("evictionHard", "evictionSoft", "evictionMinimumReclaim", "evictionSoftGracePeriod"), _SIGNALS),
}
# Fields that are judged only beside others.
_BESIDE = (
    *("cgroupsPerQOS", "kubeReservedCgroup", "reservedSystemCPUs", "runOnce", "serializeImagePulls"),
    "systemReservedCgroup",
)
_BY_FLAG = {
    field.lower(): field
    for field in (*_RANGES, *_CHOICES, *_DURATIONS, *_AMOUNTS, *_BESIDE, "containerLogMaxSize", "featureGates")
}
# Flags that are not called as the field that they set (cmd/kubelet/app/options/options.go, AddKubeletConfigFlags).
_RENAMED = {
    "anonymous-auth": "authentication.anonymous.enabled",
    "authentication-token-webhook": "authentication.webhook.enabled",
    "authentication-token-webhook-cache-ttl": "authentication.webhook.cachettl",
    "authorization-mode": "authorization.mode",
    "authorization-webhook-cache-authorized-ttl": "authorization.webhook.cacheauthorizedttl",
    "authorization-webhook-cache-unauthorized-ttl": "authorization.webhook.cacheunauthorizedttl",
    "client-ca-file": "authentication.x509.clientcafile",
    "contention-profiling": "enablecontentionprofiling",
    "event-qps": "eventrecordqps",
    "image-gc-high-threshold": "imagegchighthresholdpercent",
    "image-gc-low-threshold": "imagegclowthresholdpercent",
    "kube-api-content-type": "contenttype",
    "log-flush-frequency": "logging.flushfrequency",
    "logging-format": "logging.format",
    "manifest-url": "staticpodurl",
    "manifest-url-header": "staticpodurlheader",
    "minimum-image-ttl-duration": "imageminimumgcage",
    "pod-manifest-path": "staticpodpath",
    "pod-max-pids": "podpidslimit",
    "registry-qps": "registrypullqps",
    "reserved-cpus": "reservedsystemcpus",
    "rotate-server-certificates": "servertlsbootstrap",
    "v": "logging.verbosity",
    "vmodule": "logging.vmodule",
}


def setting(flag: str) -> str:
    """Path of the field that a flag (without `--`) sets, in lower case."""
    return _RENAMED.get(flag, flag.replace("-", ""))


def field_of(flag: str) -> str:
    """The field that a flag (without `--`) sets, where its values are judged here; else nothing."""
    return _BY_FLAG.get(setting(flag), "")


def wrong(value: object, wanted: str, path: str) -> Problem:
    """The problem of a value of another kind than the wanted one."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    found = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else text[:60]
    return Problem(path=path, message=f"expected {wanted}, found {found}", hint="")


def seconds(text: str) -> float:
    """Of a duration of Go."""
    parts = re.findall(_PART, text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) * (-1 if text.startswith("-") else 1)


def refused(field: str, value: object, path: str) -> Iterator[Problem]:
    """What the kubelet refuses of one field."""
    if isinstance(value, dict):
        yield from _amounts(field, value, path)
        for key, inner in value.items():
            yield from refused(f"{field}.{key}", inner, key_path(path, key))
    elif isinstance(value, list) and field == "registerWithTaints":
        for index, each in enumerate(value):
            if isinstance(each, dict) and not is_taint(_written(each)):
                message = f"{_written(each)[:60]!r} is not a taint: the kubelet does not start"
                hint = "key, and effect: NoSchedule, PreferNoSchedule or NoExecute"
                yield Problem(path=f"{path}[{index}]", message=message, hint=hint)
    elif isinstance(value, str) and value:
        yield from _text(field, value, path)
    elif isinstance(value, list) and field in _CHOICES:
        for index, each in enumerate(value):
            yield from refused(field, each, f"{path}[{index}]")
    elif field in _RANGES and isinstance(value, int) and not isinstance(value, bool):
        low, high = _RANGES[field]
        if value < low or (high is not None and value > high):
            yield wrong(value, f"a whole number from {low} {f'to {high}' if high is not None else 'on'}", path)


def _written(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key') or ''}{value}:{taint.get('effect') or ''}"


def is_taint(text: str) -> bool:
    """Whether the kubelet reads `KEY=VALUE:EFFECT` (pkg/util/taints/taints.go)."""
    return bool(re.search(shape(Taint).pattern or "", text))


def _text(field: str, value: str, path: str) -> Iterator[Problem]:
    if field in _CHOICES and value not in _CHOICES[field]:
        yield wrong(value, f"one of {', '.join(_CHOICES[field])}", path)
    elif field == "containerLogMaxSize" and not QUANTITY.fullmatch(value):
        yield wrong(value, 'a quantity such as "100Mi"', path)
    elif field == "podLogsDir" and not value.startswith("/"):
        yield wrong(value, "an absolute path", path)
    elif field in _DURATIONS and DURATION.fullmatch(value):
        low, high = _DURATIONS[field]
        if not low <= seconds(value) <= high and not (seconds(value) == 0 and field.startswith("shutdown")):
            yield wrong(value, f"a duration from {low:g}s {f'to {high:g}s' if high < 1e9 else 'on'}", path)


def _amounts(field: str, value: Mapping[str, object], path: str) -> Iterator[Problem]:
    known = _AMOUNTS.get(field, ())
    percent = field.startswith("eviction")
    for name, amount in value.items() if known else ():
        where = key_path(path, name)
        if name not in known:
            yield Problem(path=where, message=f"the kubelet knows no {name!r} here", hint=f"one of {', '.join(known)}")
        elif not isinstance(amount, str):
            continue
        elif field == "evictionSoftGracePeriod":
            if not DURATION.fullmatch(amount) or amount.startswith("-"):
                yield wrong(amount, 'a duration such as "90s"', where)
        elif not (percent and _PERCENT.fullmatch(amount) and float(amount[:-1]) <= 100) and (
            amount[:1] == "-" or not QUANTITY.fullmatch(amount)
        ):
            yield wrong(amount, 'a quantity such as "100Mi"' + (' or "5%"' if percent else ""), where)


def together(config: Mapping[str, Any], path: str, version: str) -> Iterator[Problem]:
    """Fields that exclude each other, over what nodeadm sets below them (internal/kubelet/config.go).

    Args:
        version: Kubernetes, such as `1.34.4`.
    """
    if tuple(map(int, version.split(".")[:2])) >= (1, 34):
        config = {"shutdownGracePeriod": "2m30s", "shutdownGracePeriodCriticalPods": "30s", **config}
    high, low = (config.get(f"imageGC{end}ThresholdPercent", usual) for end, usual in (("High", 85), ("Low", 80)))
    if isinstance(high, int) and isinstance(low, int) and low >= high:
        key = "imageGCLowThresholdPercent"
        where = f"{path}.{key if key in config else 'imageGCHighThresholdPercent'}"
        yield Problem(path=where, message=f"{key} is {low} and must be less than imageGCHighThresholdPercent, {high}")
    yield from _excluded(config, path)
    soft, grace = config.get("evictionSoft"), config.get("evictionSoftGracePeriod") or {}
    if isinstance(soft, dict) and isinstance(grace, dict):
        for signal in sorted(set(soft) - set(grace)):
            where = key_path(f"{path}.evictionSoft", signal)
            message = "has no grace period: the kubelet does not start without one"
            yield Problem(path=where, message=message, hint=f"evictionSoftGracePeriod: {{{signal}: 2m}}")
    cgroups = [name for name in ("systemReservedCgroup", "kubeReservedCgroup") if config.get(name, "/") != ""]
    if config.get("reservedSystemCPUs") and cgroups:
        message = f"excludes {' and '.join(cgroups)}, which nodeadm sets: the kubelet does not start"
        hint = "; ".join(f'{name}: ""' for name in cgroups)
        yield Problem(path=f"{path}.reservedSystemCPUs", message=message, hint=hint)
    whole, critical = (config.get(f"shutdownGracePeriod{end}", "0s") or "0s" for end in ("", "CriticalPods"))
    if isinstance(whole, str) and isinstance(critical, str) and seconds(critical) > seconds(whole):
        message = f"shutdownGracePeriodCriticalPods, {critical}, is longer than all of shutdownGracePeriod, {whole}"
        yield Problem(path=f"{path}.shutdownGracePeriod", message=message, hint="set both")


def _excluded(config: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """What the kubelet refuses of a value, or beside others; what nodeadm sets stands for what is not there."""
    get, found = config.get, dict[str, str]()
    if get("runOnce") is True:
        found["runOnce"] = "is no longer supported"
    factor, pulls = get("memoryThrottlingFactor"), get("maxParallelImagePulls")
    if isinstance(factor, int | float) and not 0 < factor <= 1:
        found["memoryThrottlingFactor"] = "must be above 0 and up to 1"
    if get("serializeImagePulls") is True and isinstance(pulls, int) and pulls > 1:
        found["maxParallelImagePulls"] = "needs serializeImagePulls: false"
    oldest, youngest = get("imageMaximumGCAge"), get("imageMinimumGCAge")
    if isinstance(oldest, str) and 0 < seconds(oldest) <= seconds(youngest if isinstance(youngest, str) else "2m"):
        found["imageMaximumGCAge"] = f"must be greater than imageMinimumGCAge, {youngest or '2m'}"
    gates, enforced = get("featureGates"), get("enforceNodeAllocatable", ["pods"])
    if get("cgroupsPerQOS") is False and isinstance(enforced, list) and "pods" in enforced:
        found["cgroupsPerQOS"] = "needs enforceNodeAllocatable: []"
    rotates = not isinstance(gates, dict) or gates.get("RotateKubeletServerCertificate") is not False
    if not rotates and get("serverTLSBootstrap") is not False:
        key = "featureGates.RotateKubeletServerCertificate"
        found[key] = "is needed for serverTLSBootstrap, which nodeadm sets"
    by_priority, period = get("shutdownGracePeriodByPodPriority"), get("shutdownGracePeriod")
    if by_priority and isinstance(period, str) and seconds(period) > 0:
        found["shutdownGracePeriodByPodPriority"] = f"excludes shutdownGracePeriod, which is {period}"
    for key, message in found.items():
        yield Problem(path=f"{path}.{key}", message=f"{message}: the kubelet does not start", hint="")

"""Where the configuration that kube-proxy reads is not what is wanted, or not what the add-on is set to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amigen.base.errors import InputError
from amigen.kubeproxy.addon_values import read_values
from amigen.kubeproxy.config import ProxyConfig, value_at
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.settings import FIELDS, duration_seconds

# What an unset field means.
_DEFAULTS: Mapping[str, str] = {"mode": "iptables", "ipvs.scheduler": "rr"}


def contradictions(config: ProxyConfig, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Each path of `wanted` that the configuration has otherwise, as `mode is iptables, not ipvs`."""
    found = []
    for path, value in wanted.items():
        now, then = (one or _DEFAULTS.get(path) for one in (config.get(path), value))
        if not _same(path, now, then):
            found.append(f"{path} is {_text(now)}, not {_text(then)}")
    return tuple(found)


def addon_drift(observed: Observed) -> tuple[str, ...]:
    """Where the ConfigMap says something else than the add-on's values: edited by hand, or kept by PRESERVE."""
    state = observed.managed.addon
    if state is None:
        return ()
    try:
        values = read_values(state.values)
    except InputError:
        return ()  # a change will say it
    found = {path: value_at(values, path) for path in ("mode", *FIELDS)}
    return contradictions(observed.config, {path: value for path, value in found.items() if value is not None})


def _same(path: str, one: Any, other: Any) -> bool:
    if FIELDS.get(path) == "duration" and isinstance(one, str) and isinstance(other, str):
        return duration_seconds(one) == duration_seconds(other)
    return bool(one == other) or (not one and not other)


def _text(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

"""Specs for tests: the smallest one, and changes to it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from amigen.base.errors import Problem
from amigen.spec.load import check_bytes, parse_spec
from amigen.spec.model import NodeImage

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
GOLDEN = ROOT / "tests" / "golden"

MINIMAL: dict[str, Any] = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "ipvs-nodes",
    "kubernetesVersion": "1.34",
    "platforms": ["al2023"],
}
# base64 of a PEM header: enough for what the rules look at, and no real certificate.
CA = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
EKS: dict[str, Any] = {
    "name": "web",
    "apiServerEndpoint": "https://0123.gr7.eu-central-1.eks.amazonaws.com",
    "certificateAuthority": CA,
    "serviceCIDR": "10.100.0.0/16",
}


def mapping(*changes: dict[str, Any]) -> dict[str, Any]:
    """The smallest spec as a mapping, with changes merged in deeply; lists are replaced."""
    out = copy.deepcopy(MINIMAL)
    for change in changes:
        _merge(out, change)
    return out


def spec(*changes: dict[str, Any]) -> NodeImage:
    """The smallest spec with changes."""
    return parse_spec(mapping(*changes))


def problems(*changes: dict[str, Any]) -> tuple[Problem, ...]:
    """What a check of the changed spec finds; it goes through YAML text, as a file would."""
    text = yaml.safe_dump(mapping(*changes), sort_keys=False, allow_unicode=True)
    return check_bytes(text.encode()).problems


def joins(**kubelet: Any) -> dict[str, Any]:
    """The change that makes a spec join a cluster."""
    eks = dict(EKS, kubelet=kubelet) if kubelet else dict(EKS)
    return {"join": {"eks": eks}}


def _merge(base: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)

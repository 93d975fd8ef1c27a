"""Services and EndpointSlices that are not what the API documents: named, and never the end of the others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from amigen.ipvs.expected import expected
from amigen.services.model import ProxyFeatures
from amigen.services.objects import read_services
from amigen.services.topology import Where

SERVICE: dict[str, Any] = {
    "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"k8s-app": "kube-dns"}},
    "spec": {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1", "fd00::1"],
        "ipFamilies": ["IPv4", "IPv6"],
        "externalIPs": ["192.0.2.1"],
        "ports": [{"name": "a", "port": 53, "protocol": "UDP", "nodePort": 30000}],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}},
}
SLICE: dict[str, Any] = {
    "metadata": {"name": "x", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
    "addressType": "IPv4",
    "ports": [{"name": "a", "port": 53, "protocol": "UDP"}],
    "endpoints": [
        {
            "addresses": ["10.1.1.1"],
            "conditions": {"ready": True},
            "nodeName": "n",
            "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]},
        }
    ],
}
OTHER = {
    "metadata": {"name": "other", "namespace": "default"},
    "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 1}]},
}
WRONG: list[Any] = [None, 0, -1, 70000, float("inf"), True, "", "x", [], {}, [None], ["x"], [[]], {"a": 1}, [{}]]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def put(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    made = inner = copy.deepcopy(value)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return made


@pytest.mark.parametrize("which", ["service", "slice"])
def test_an_object_of_another_form_does_not_hide_the_others(which: str) -> None:
    """Each value of a Service and of an EndpointSlice, replaced by values of another form."""
    for path in places(SERVICE if which == "service" else SLICE):
        for wrong in WRONG:
            service = put(SERVICE, path, wrong) if which == "service" else SERVICE
            slice_ = put(SLICE, path, wrong) if which == "slice" else SLICE
            found = read_services([service, OTHER], [slice_], ProxyFeatures())
            assert "default/other" in {one.owner for one in found.ports}, (path, wrong)
            expected(found, Where())


def test_what_cannot_be_judged_is_named() -> None:
    found = read_services([put(SERVICE, ("spec", "clusterIPs"), ["nonsense"])], [], ProxyFeatures())
    assert [(one.subject, one.says) for one in found.odd] == [
        (
            "default/kubernetes",
            "default/kubernetes cannot be judged: Service is not what the API documents"
            " (ValueError: 'nonsense' is not an address)",
        )
    ]

"""The table against Services and EndpointSlices: every kind of difference, seen once."""

from __future__ import annotations

import copy
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from amigen.ipvs import expected as expected_module
from amigen.ipvs.compare import compare as comparison
from amigen.ipvs.expected import Expected
from amigen.ipvs.model import Place, RealServer, Table, VirtualService
from amigen.ipvs.parse import parse
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.status import judge_table
from amigen.services.difference import Difference
from amigen.services.model import Address, ProxyFeatures, read_network
from amigen.services.objects import read_services
from amigen.services.topology import Where
from tests.kubeproxy import samples


def compare(*given: Any, **more: Any) -> tuple[Difference, ...]:
    """The differences alone."""
    return tuple(comparison(*given, **more).differences)


def expected(
    services: list[dict[str, Any]],
    slices: list[dict[str, Any]],
    *,
    node: str | None = None,
    zone: str = "",
    own: frozenset[Address] | None = None,
) -> Expected:
    """What kube-proxy of the newest version makes of these objects."""
    ports = read_services(services, slices, ProxyFeatures())
    return expected_module.expected(ports, Where(node=node, zone=zone), own)


def a_service(name: str, ip: str, port: int, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    labels = {"k8s-app": "kube-dns"} if name == "kube-dns" else {}
    ports = spec.pop("ports", [{"name": "", "port": port, "protocol": "TCP"}])
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": ports} | spec,
    }


def a_slice(service: str, namespace: str, port: int, *addresses: str, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": more.pop("ports", [{"name": "", "port": port, "protocol": "TCP"}]),
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} | more for one in addresses],
    }


DNS_PORTS = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
SERVICES = [
    a_service("kubernetes", "10.96.0.1", 443),
    a_service("kube-dns", "10.96.0.10", 53, "kube-system", ports=DNS_PORTS),
    a_service("web", "10.96.0.50", 80),
]
SLICES = [
    a_slice("kubernetes", "default", 6443, "10.0.0.9"),
    a_slice("kube-dns", "kube-system", 53, "10.1.0.2", ports=DNS_PORTS),
    a_slice("web", "default", 8080, "10.1.0.3", "10.1.0.4"),
]
LISTING = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.0.1:443 sed
  -> 10.0.0.9:6443                Masq    1      0          0
TCP  10.96.0.10:53 sed
  -> 10.1.0.2:53                  Masq    1      0          0
UDP  10.96.0.10:53 sed
  -> 10.1.0.2:53                  Masq    1      0          0
TCP  10.96.0.50:80 sed
  -> 10.1.0.3:8080                Masq    1      0          0
  -> 10.1.0.4:8080                Masq    1      0          0
"""
BOUND = frozenset(map(ip_address, ("10.96.0.1", "10.96.0.10", "10.96.0.50")))


def wanted() -> Expected:
    return expected(SERVICES, SLICES)


def differ(listing: str, *, scheduler: str = "sed", bound: frozenset[Any] | None = BOUND) -> list[tuple[str, str]]:
    found = compare(parse(listing), wanted(), scheduler=scheduler, bound=bound)
    return [(one.kind, one.says) for one in found]


def test_a_healthy_node_has_no_difference() -> None:
    """The table that kube-proxy makes of these objects."""
    assert differ(LISTING) == []


def test_each_line_removed_is_seen() -> None:
    """No line of the listing may go missing unseen."""
    lines = LISTING.splitlines(keepends=True)
    for number in range(4, len(lines)):  # without the first service its server is no listing at all
        assert differ("".join(lines[:number] + lines[number + 1 :])), lines[number]


@pytest.mark.parametrize(
    ("old", "new", "kind", "says"),
    [
        ("10.96.0.50:80 sed", "10.96.0.50:80 rr", "scheduler", "has the scheduler rr; the configuration says sed"),
        ("10.96.0.50:80 sed", "10.96.0.50:80 sed persistent 10800", "affinity", "the Service says no session affinity"),
        ("10.1.0.4:8080                Masq    1", "10.1.0.4:8080                Masq    0", "weight", "weight 0"),
        ("10.1.0.4:8080                Masq ", "10.1.0.4:8080                Route", "forward", "by Route"),
        ("10.1.0.4:8080", "10.1.0.5:8080", "stale-server", "still sends to 10.1.0.5:8080"),
        ("10.1.0.4:8080", "10.1.0.5:8080", "missing-server", "lacks the endpoint 10.1.0.4:8080"),
        ("10.96.0.50:80", "10.96.0.51:80", "missing-service", "10.96.0.50:80 of default/web has no virtual service"),
        ("10.96.0.50:80", "10.96.0.51:80", "stale-service", "10.96.0.51:80 belongs to no Service"),
        ("  -> 10.0.0.9:6443                Masq    1      0          0\n", "", "api-service", "no real server"),
        ("10.0.0.9:6443                Masq    1", "10.0.0.9:6443                Masq    0", "api-service", "takes conn"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_broken_line_is_explained(old: str, new: str, kind: str, says: str) -> None:
    """Each difference has a kind and says what is and what should be."""
    assert old in LISTING

    found = differ(LISTING.replace(old, new))

    assert any(one == kind and says in text for one, text in found), found


def test_addresses_of_kube_ipvs0() -> None:
    """One too few and one too many."""
    found = differ(LISTING, bound=BOUND - {ip_address("10.96.0.50")} | {ip_address("10.96.0.99")})

    assert found == [
        ("missing-address", "kube-ipvs0 lacks 10.96.0.50 of default/web"),
        ("stale-address", "kube-ipvs0 has 10.96.0.99, which no Service has"),
    ]


def test_a_cluster_without_the_api_service_is_said() -> None:
    """It is looked for also where no Service claims to be it; DNS can be somewhere else."""
    found = compare(Table(), expected([], []), scheduler="rr", bound=frozenset())

    assert [one.kind for one in found] == ["api-service"]


def test_the_resolved_listing_is_compared_by_address() -> None:
    """The guide's form hides ports; what it shows still has to fit."""
    text = LISTING.replace("10.96.0.1:443", "ip-10-96-0-1.us-east-1.compu").replace("10.0.0.9:6443", "ip-10-0-0-9.ec2")
    text = text.replace("ip-10-0-0-9.ec2", "ip-10-0-0-9.us-east-1.comput")

    assert differ(text, bound=None) == []
    assert differ(text.replace("ip-10-0-0-9", "ip-10-0-0-8"), bound=None) != []


@pytest.mark.parametrize(
    ("names", "unjudged"),
    [
        ({"10.96.0.1:443": "kubernetes.default.svc.clust"}, 0),
        ({"10.96.0.10:53": "kube-dns.kube-system.svc.cl"}, 0),
        ({"10.96.0.50:80": "web.default.svc.cluster.local:http"}, 0),
        ({"10.96.0.1:443": "i-0abc1234567890def.eu-centr"}, 1),
        ({"10.96.0.1:443": "kubernetes.defau", "10.96.0.50:80": "something.else.entirely"}, 2),
    ],
)
def test_names_that_hide_the_address(names: dict[str, str], unjudged: int) -> None:
    """The cluster's own names say which Service it is; what says nothing is not judged, and not called missing."""
    listing = LISTING.replace("10.0.0.9:6443", "i-0abc.eu-central-1.compute.")
    for address, name in names.items():
        listing = listing.replace(address, name)

    found = comparison(parse(listing), wanted(), scheduler="sed")

    assert found.differences == []
    assert (f"; {unjudged} Service addresses may be behind names" in found.facts[0]) == bool(unjudged)


def test_a_name_too_many_is_seen_as_such() -> None:
    """More names that say nothing than Services that were not found."""
    found = comparison(parse(LISTING + "TCP  something.else.entirely.one. sed\n"), wanted(), scheduler="sed")

    assert [one.kind for one in found.differences] == ["unreadable"]


def test_a_listing_that_hides_something_claims_nothing_of_it() -> None:
    """What was not judged is counted, and not called right."""
    config = read_config(samples.EKS_CONFIG.replace('scheduler: ""', "scheduler: sed"), "x")
    table = parse(LISTING.replace("10.96.0.1:443", "i-0abc1234567890def.eu-centr"))

    state = judge_table(table, config, wanted())

    assert state.differences == []
    assert "1 Service addresses may be behind names that say nothing, and were not judged" in state.facts[0]
    assert not any("of 4 Service addresses" in fact or "nothing is stale" in fact for fact in state.facts)


def test_only_the_first_address_of_an_endpoint_counts() -> None:
    """kube-proxy takes that one and leaves the others alone."""
    slices = copy.deepcopy(SLICES)
    slices[2]["endpoints"] = [{"addresses": ["10.1.0.3", "10.1.0.4"], "conditions": {"ready": True}}]
    one = LISTING.replace("  -> 10.1.0.4:8080                Masq    1      0          0\n", "")

    assert compare(parse(one), expected(SERVICES, slices), scheduler="sed") == ()
    assert [x.kind for x in compare(parse(LISTING), expected(SERVICES, slices), scheduler="sed")] == ["stale-server"]
    other = one.replace("10.1.0.3", "10.1.0.4")
    kinds = [x.kind for x in compare(parse(other), expected(SERVICES, slices), scheduler="sed")]
    assert kinds == ["missing-server", "stale-server"]


def test_an_empty_table_is_one_difference() -> None:
    """Not one for each of a thousand Services; the same for kube-ipvs0."""
    found = compare(Table(), wanted(), scheduler="rr", bound=frozenset())

    assert [one.kind for one in found] == ["missing-service", "missing-address"]
    assert "4 Service addresses have no virtual service" in found[0].says
    assert "none of the 3 addresses" in found[1].says


def test_an_ending_endpoint_drains() -> None:
    """Not ready, still serving: with another ready one it is no server; weight 0 lets its connections end."""
    slices = copy.deepcopy(SLICES)
    slices[2]["endpoints"][1]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    both = parse(LISTING)
    drained = parse(LISTING.replace("10.1.0.4:8080                Masq    1", "10.1.0.4:8080                Masq    0"))

    (found,) = compare(both, expected(SERVICES, slices), scheduler="sed")
    assert (found.kind, "this node must not use" in found.says) == ("stale-server", True)
    assert compare(drained, expected(SERVICES, slices), scheduler="sed") == ()
    slices[2]["endpoints"].pop(0)
    assert [one.kind for one in compare(both, expected(SERVICES, slices), scheduler="sed")] == ["stale-server"]
    assert "weight" in [one.kind for one in compare(drained, expected(SERVICES, slices), scheduler="sed")]


def test_headless_external_and_foreign_services_need_nothing() -> None:
    """No ClusterIP, a name, or another proxy's label."""
    others = [
        a_service("headless", "None", 80),
        a_service("outside", "10.96.0.60", 80, type="ExternalName"),
        a_service("cilium", "10.96.0.61", 80),
    ]
    others[2]["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "cilium"}

    assert expected(others, []).services == ()


WEB = {
    "externalIPs": ["192.0.2.1"],
    "type": "LoadBalancer",
    "ports": [{"name": "", "port": 80, "protocol": "TCP", "nodePort": 30080}],
}
OWN = frozenset(map(ip_address, ("127.0.0.1", "10.0.0.7", "192.0.2.1")))


def a_balancer(**spec: Any) -> dict[str, Any]:
    service = a_service("web", "10.96.0.50", 80, **(copy.deepcopy(WEB) | spec))
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"ip": "192.0.2.3", "ipMode": "Proxy"}]}}
    return service


def test_every_address_of_a_service_is_expected() -> None:
    """ClusterIP, external, load balancer and node port; one of ipMode Proxy is not kube-proxy's."""
    found = expected([a_balancer()], [SLICES[2]], node="node-a", own=OWN)

    assert [(one.reach, str(one.key[1]), one.key[2], len(one.required)) for one in found.services] == [
        ("ClusterIP", "10.96.0.50", 80, 2),
        ("external IP", "192.0.2.1", 80, 2),
        ("load balancer", "192.0.2.2", 80, 2),
        ("node port", "10.0.0.7", 30080, 2),
        ("node port", "192.0.2.1", 30080, 2),
    ]
    # An address that another interface has is not bound to kube-ipvs0.
    assert sorted(map(str, found.addresses)) == ["10.96.0.50", "192.0.2.2"]


def test_a_node_port_of_a_saved_listing_goes_by_its_port() -> None:
    """The node's addresses are not known there; the servers are judged all the same."""
    found = expected([a_balancer()], [SLICES[2]])
    node_port = VirtualService(
        protocol="TCP",
        place=Place(address=ip_address("10.9.9.9"), port=30080),
        scheduler="sed",
        servers=tuple(
            RealServer(place=Place(address=ip_address(one), port=8080), forward="Masq", weight=1)
            for one in ("10.1.0.3", "10.1.0.4")
        ),
    )

    def kinds(*services: VirtualService) -> set[str]:
        return {one.kind for one in compare(Table(services=services), found, scheduler="sed") if "3008" in one.subject}

    assert kinds(node_port) == set()
    assert kinds(replace(node_port, servers=node_port.servers[:1])) == {"missing-server"}
    wrong = replace(node_port.servers[0], place=Place(address=ip_address("10.1.0.77"), port=8080))
    assert kinds(replace(node_port, servers=(*node_port.servers, wrong))) == {"stale-server"}
    other = replace(node_port, place=Place(address=ip_address("10.9.9.9"), port=30081))
    assert kinds(other) == {"missing-service", "stale-service"}


@pytest.mark.parametrize(
    ("servers", "kinds"),
    [
        ("", {"missing-server"}),
        ("  -> 10.1.0.3:8080 Masq 0 0 0\n", {"weight"}),
        ("  -> 10.1.0.4:8080 Masq 1 0 0\n", {"missing-server", "stale-server"}),
        ("  -> 10.1.0.3:8080 Masq 1 0 0\n  -> 10.1.0.4:8080 Masq 1 0 0\n", {"stale-server"}),
        ("  -> 10.1.0.3:8080 Masq 1 0 0\n", set()),
    ],
)
def test_a_load_balancer_address_of_local_policy(servers: str, kinds: set[str]) -> None:
    """Without a server, with a drained or with a remote one where a local one exists: each is a difference."""
    slices = [
        a_slice("web", "default", 8080, "10.1.0.3", nodeName="node-a"),
        a_slice("web", "default", 8080, "10.1.0.4", nodeName="node-b"),
    ]
    found = expected([a_balancer(externalTrafficPolicy="Local")], slices, node="node-a", own=OWN)
    table = parse(LISTING + "TCP  192.0.2.2:80 sed\n" + servers)

    differences = compare(table, found, scheduler="sed")

    assert {one.kind for one in differences if "192.0.2.2" in one.says} == kinds


def test_dual_stack() -> None:
    """Each ClusterIP takes the endpoints of its family."""
    service = a_service("web", "10.96.0.50", 80, clusterIPs=["10.96.0.50", "fd00::50"], ipFamilies=["IPv4", "IPv6"])
    six = a_slice("web", "default", 8080, "fd00::3")
    six["addressType"] = "IPv6"

    found = expected([service], [SLICES[2], six]).services

    assert [sorted(str(address) for address, _ in one.required) for one in found] == [
        ["10.1.0.3", "10.1.0.4"],
        ["fd00::3"],
    ]


def test_affinity_of_the_kernel_listing_counts_in_ticks() -> None:
    """Ticks cannot be compared with seconds: only whether it is persistent at all."""
    service = a_service("web", "10.96.0.50", 80, sessionAffinity="ClientIP")
    table = Table(
        services=(
            VirtualService(
                protocol="TCP",
                place=Place(address=ip_address("10.96.0.50"), port=80),
                scheduler="rr",
                persistent=2700000,
                ticks=True,
            ),
        )
    )

    kinds = [one.kind for one in compare(table, expected([service], []), scheduler="rr")]

    assert "affinity" not in kinds


def test_excluded_networks_belong_to_somebody_else() -> None:
    """ipvs.excludeCIDRs."""
    extra = LISTING + "TCP  192.0.2.7:80 wrr\n"

    assert [one[0] for one in differ(extra)] == ["stale-service"]
    assert compare(parse(extra), wanted(), scheduler="sed", excluded=[ip_network("192.0.2.0/24")]) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.0.0.0/8", "::/8"), ("10.1.0.0/008", "10.0.0.0/8")],
)  # fmt: skip
def test_a_mapped_network(text: str, expected: str) -> None:
    """What its addresses are for `IPNet.Contains` of Go."""
    assert read_network(text) == ip_network(expected)


def test_every_difference_says_why() -> None:
    """No finding without an explanation."""
    found = compare(Table(), wanted(), scheduler="rr", bound=frozenset())

    assert found
    assert all(isinstance(one, Difference) and one.says and one.why for one in found)

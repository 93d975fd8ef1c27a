"""The IPVS table against what should be in it: every difference with its explanation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, TypeAlias

from amigen.ipvs.expected import Expected, ExpectedNodePort, ExpectedService, Target
from amigen.ipvs.match import Finder, is_hidden, may_be, target_of
from amigen.ipvs.model import Address, Key, Place, RealServer, Table, VirtualService

Kind: TypeAlias = Literal[
    "mode",
    "api-service",
    "dns-service",
    "missing-service",
    "scheduler",
    "affinity",
    "missing-server",
    "weight",
    "forward",
    "stale-server",
    "stale-service",
    "missing-address",
    "stale-address",
    "unreadable",
]
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        subject: What it is about; with `kind` the identity under which a watch follows it.
        says: What is and what should be.
        why: What it means, or what commonly causes it.
    """

    kind: Kind
    subject: str
    says: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came out.

    Attributes:
        unjudged: Ports of Services that may be in the table under a name that says nothing (`ipvsadm -L`).
    """

    differences: tuple[Difference, ...]
    unjudged: tuple[str, ...] = ()


@dataclass
class _Found:
    """Differences as they are found; the table's services that nobody expected are left in `rest`."""

    differences: list[Difference] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)

    def add(self, kind: Kind, subject: str, says: str, why: str) -> None:
        self.differences.append(Difference(kind=kind, subject=subject, says=says, why=why))


def compare(
    table: Table,
    wanted: Expected,
    *,
    scheduler: str,
    bound: frozenset[Address] | None = None,
    excluded: Iterable[Network] = (),
) -> tuple[Difference, ...]:
    """All differences; see `comparison`."""
    return comparison(table, wanted, scheduler=scheduler, bound=bound, excluded=excluded).differences


def comparison(
    table: Table,
    wanted: Expected,
    *,
    scheduler: str,
    bound: frozenset[Address] | None = None,
    excluded: Iterable[Network] = (),
) -> Comparison:
    """All differences, in the order: API and DNS, services, stale ones, addresses; and what could not be judged.

    Args:
        table: What the node has.
        wanted: What it should have.
        scheduler: What kube-proxy is configured to use, such as `rr`.
        bound: Addresses of `kube-ipvs0`; None: not looked at (a saved listing).
        excluded: `ipvs.excludeCIDRs`: services there belong to somebody else.
    """
    found = _Found()
    finder = Finder(table)
    _core(found, wanted, finder, empty=not table.services)
    known: set[int] = set()
    for expectation in wanted.services if table.services else ():
        service = finder.find(expectation)
        if service is None and finder.may_hide(expectation.key):
            found.unjudged.append(_name(expectation))
            continue
        if service is None:
            found.add(
                "missing-service",
                _name(expectation),
                f"{expectation.reach} {_key(expectation.key)} has no virtual service",
                "kube-proxy has not made it (does it run, and in ipvs mode?), or somebody removed it",
            )
            continue
        known.add(id(service))
        _service(found, expectation, service, scheduler)
    _stale(found, table, wanted, known, tuple(excluded))
    if bound is not None:
        _addresses(found, wanted, bound)
    return Comparison(differences=tuple(found.differences), unjudged=tuple(found.unjudged))


def _core(found: _Found, wanted: Expected, finder: Finder, *, empty: bool) -> None:
    """The API service and DNS: without them nothing else in the cluster works. An empty table is one difference."""
    if empty and wanted.services:
        found.add(
            "missing-service",
            "the IPVS table",
            f"the IPVS table is empty: {len(wanted.services)} Service addresses have no virtual service",
            "kube-proxy has not made them (does it run, and in ipvs mode?), or somebody cleared the table",
        )
    core: tuple[tuple[Kind, tuple[Key, ...], str, str], ...] = (
        ("api-service", wanted.api, "the API service default/kubernetes", "every cluster has it"),
        ("dns-service", wanted.dns, "the DNS service (label k8s-app=kube-dns in kube-system)", "is CoreDNS installed?"),
    )
    for kind, keys, what, hint in core:
        if not keys:
            found.add(kind, what, f"{what} is not in the cluster", hint)
        for key in keys:
            service = finder.at(key)
            if service is not None and not any(server.weight > 0 for server in service.servers):
                found.add(
                    kind,
                    what,
                    f"{_key(key)} has no real server that takes connections",
                    "its endpoints are not ready, or kube-proxy does not see them",
                )


def _service(found: _Found, expectation: ExpectedService, service: VirtualService, scheduler: str) -> None:
    subject = _name(expectation)
    if service.scheduler != scheduler:
        found.add(
            "scheduler",
            subject,
            f"{service} has the scheduler {service.scheduler}, chosen is {scheduler}",
            "kube-proxy runs with an older configuration (restart its DaemonSet), or somebody edited the service",
        )
    _affinity(found, expectation, service, subject)
    servers = {target_of(server.place): server for server in service.servers}
    for target in sorted(expectation.required - servers.keys(), key=str):
        if not is_hidden(servers, target):
            found.add(
                "missing-server",
                f"{subject} -> {_text(target)}",
                f"{service} lacks the ready endpoint {_text(target)}",
                "connections do not reach this endpoint; kube-proxy lags behind, or somebody removed it",
            )
    may = expectation.required | expectation.allowed
    for known, server in servers.items():
        _server(found, subject, service, server, required=known in expectation.required, may=may)


def _affinity(found: _Found, expectation: ExpectedService, service: VirtualService, subject: str) -> None:
    is_, wanted = service.persistent, expectation.affinity
    if (is_ is None) == (wanted is None) and (service.ticks or is_ == wanted):
        return
    found.add(
        "affinity",
        subject,
        f"{service} is {'not persistent' if is_ is None else f'persistent for {is_} s'}, the Service says "
        + ("no session affinity" if wanted is None else f"ClientIP for {wanted} s"),
        "clients stay with their endpoint longer or shorter than the Service promises",
    )


def _server(
    found: _Found, subject: str, service: VirtualService, server: RealServer, *, required: bool, may: frozenset[Target]
) -> None:
    name = f"{subject} -> {server.place}"
    if not may_be(server.place, may):
        # Weight 0: kube-proxy lets the connections of a removed endpoint end (graceful termination).
        if server.weight > 0:
            found.add(
                "stale-server",
                name,
                f"{service} still sends to {server.place}, which is no endpoint of the Service",
                "connections go to an address that is gone or belongs to another pod",
            )
        return
    if required and server.weight == 0:
        found.add(
            "weight",
            name,
            f"{service} has {server.place} with weight 0",
            "a ready endpoint that gets no new connections",
        )
    if server.forward not in ("Masq", "Local"):
        found.add(
            "forward",
            name,
            f"{service} forwards to {server.place} by {server.forward}",
            "kube-proxy only masquerades; another program made this entry",
        )


def _stale(found: _Found, table: Table, wanted: Expected, known: set[int], excluded: tuple[Network, ...]) -> None:
    """What is in the table and belongs to no Service."""
    # So many names that say nothing may be those of Services that were not found by address.
    may_be_known = len(found.unjudged)
    for service in table.services:
        if id(service) in known:
            continue
        if service.firewall_mark is not None:
            continue  # not of kube-proxy, which makes none
        place = service.place
        assert place is not None
        if place.address is not None and any(place.address in network for network in excluded):
            continue
        node_port = next(
            (one for one in wanted.node_ports if one.port == place.port and one.protocol == service.protocol), None
        )
        if node_port is not None:
            _node_port(found, node_port, service)
            continue
        if place.address is None and may_be_known > 0:
            may_be_known -= 1
            continue
        if place.address is None or place.port is None:
            found.add(
                "unreadable",
                str(service),
                f"{service} cannot be matched: the listing does not show its address and port",
                "use `ipvsadm -L -n`, which resolves nothing and cuts nothing",
            )
            continue
        found.add(
            "stale-service",
            str(service),
            f"{service} belongs to no Service of the cluster",
            "left over from a deleted Service or an earlier mode, or made by another program (see ipvs.excludeCIDRs)",
        )


def _node_port(found: _Found, node_port: ExpectedNodePort, service: VirtualService) -> None:
    for server in service.servers:
        if server.weight > 0 and not may_be(server.place, node_port.allowed):
            found.add(
                "stale-server",
                f"{node_port.owner} node port {node_port.port} -> {server.place}",
                f"{service} still sends to {server.place}, which is no endpoint of {node_port.owner}",
                "connections go to an address that is gone or belongs to another pod",
            )


def _addresses(found: _Found, wanted: Expected, bound: frozenset[Address]) -> None:
    missing = wanted.addresses - bound
    if len(missing) > 1 and missing == wanted.addresses:
        found.add(
            "missing-address",
            "kube-ipvs0",
            f"kube-ipvs0 has none of the {len(missing)} addresses of Services",
            "the node does not take packets for them as its own, so IPVS never sees them",
        )
        missing = frozenset()
    for address in sorted(missing, key=str):
        owner = next(one.owner for one in wanted.services if one.key[1] == address)
        found.add(
            "missing-address",
            str(address),
            f"kube-ipvs0 lacks {address} of {owner}",
            "the node does not take packets for this address as its own, so IPVS never sees them",
        )
    for address in sorted(bound - wanted.addresses, key=str):
        # kube-proxy looks for and binds IPv6 link-local addresses of its own accord nowhere: the kernel adds one.
        if not address.is_link_local:
            found.add(
                "stale-address",
                str(address),
                f"kube-ipvs0 has {address}, which no Service has",
                "left over from a deleted Service: the node swallows packets to it",
            )


def _name(expectation: ExpectedService) -> str:
    return f"{expectation.owner}:{expectation.port}"


def _key(key: Key) -> str:
    return f"{key[0]} {Place(address=key[1], port=key[2])}"


def _text(target: Target) -> str:
    return str(Place(address=target[0], port=target[1]))

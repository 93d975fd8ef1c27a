"""The IPVS table against what should be in it; one idea: every difference has its explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from amigen.ipvs.expected import Expected, ExpectedService, Finder
from amigen.ipvs.model import Address, Key, Pair, RealServer, Table, VirtualService
from amigen.services.difference import Findings, Kind
from amigen.services.model import Network, address_order, in_order, place_text

_FOREIGN = "left over from a deleted Service or an earlier mode, or made by another program (see ipvs.excludeCIDRs)"
_NOT_BOUND = "the node does not take packets for it as its own, so IPVS never sees them"


def compare(
    table: Table,
    wanted: Expected,
    *,
    scheduler: str,
    bound: frozenset[Address] | None = None,
    excluded: Iterable[Network] = (),
) -> Findings:
    """All differences, in the order: API and DNS, services, stale ones, addresses; and what is right.

    Args:
        bound: Addresses of `kube-ipvs0`; None: not looked at (a saved listing).
        excluded: `ipvs.excludeCIDRs`: services there are not kube-proxy's.
    """
    found = Findings(differences=list(wanted.ports.odd))
    finder = Finder(table)
    for key, owners in wanted.shared.items():
        says = f"{_key(key)} is claimed by {' and '.join(sorted(set(owners)))}"
        why = "kube-proxy serves one of them, which one can change at each restart; give each its own address or port"
        found.differs("shared", _key(key), says, why)
    _core(found, wanted, finder, empty=not table.services)
    known: set[int] = set()
    unjudged = 0  # ports of Services that may be in the table under a name that says nothing
    for expectation in wanted.services if table.services else ():
        service = finder.find(expectation)
        if service is None and finder.may_hide(expectation.key):
            unjudged += 1
            continue
        if service is None:
            address = _key(expectation.key)
            says = f"{expectation.reach} {address} of {expectation.port.owner} has no virtual service"
            why = "kube-proxy did not create it (is it running, and in ipvs mode?), or something deleted it"
            found.differs("missing-service", f"{expectation.subject} {address}", says, why)
            continue
        known.add(id(service))
        if expectation.key not in wanted.shared:
            _service(found, expectation, service, scheduler)
    if table.services:
        _node_ports(found, table, wanted, known, scheduler)
    _stale(found, table, known, tuple(excluded), unjudged)
    if bound is not None:
        _addresses(found, wanted, bound)
    _facts(found, table, wanted, scheduler, unjudged)
    if bound is not None:
        addresses = f"kube-ipvs0 has all {len(wanted.addresses)} addresses and no other"
        found.right(addresses, "missing-address", "stale-address")
    return found


def _facts(found: Findings, table: Table, wanted: Expected, scheduler: str, unjudged: int) -> None:
    """What is right, counted."""
    servers = sum(len(one.servers) for one in table.services)
    size = f", connection table of {table.size}" if table.size else ""
    hidden = "; {} Service addresses may be behind names that say nothing, and were not judged"
    head = f"{len(table.services)} virtual services, {servers} real servers{size}"
    found.facts.append(head + (hidden.format(unjudged) if unjudged else ""))
    ended = sum(len(one.required) for one in wanted.services)
    dns = "no DNS service in the cluster (by the labels of CoreDNS, or at the tenth address): not judged"
    if not unjudged:  # else it cannot be said that none is missing or stale
        number, places = len(wanted.services), Counter(one.reach for one in wanted.services)
        kinds = ", ".join(f"{many} {reach}" for reach, many in places.items())
        found.right("the API service and its endpoints are there", "api-service", "missing-service")
        there = "the DNS service and its endpoints are there"
        found.right(there if wanted.dns else dns, "dns-service", "missing-service")
        found.right(f"{number} of {number} Service addresses have a virtual service ({kinds})", "missing-service")
        found.right(f"each with the scheduler {scheduler}", "scheduler", "missing-service")
        used = f"{ended} of {ended} endpoints that this node uses are real servers"
        found.right(used, "missing-server", "weight", "missing-service")
        found.right("nothing is stale", "stale-server", "stale-service", "unreadable")


def _core(found: Findings, wanted: Expected, finder: Finder, *, empty: bool) -> None:
    """The API service and DNS: without them nothing else in the cluster works. An empty table is one difference."""
    if empty and wanted.services:
        says = f"the IPVS table is empty: {len(wanted.services)} Service addresses have no virtual service"
        why = "kube-proxy did not create them (is it running, and in ipvs mode?), or something cleared the table"
        found.differs("missing-service", "the IPVS table", says, why)
    api = "the API service default/kubernetes"
    if not wanted.api:
        found.differs("api-service", api, f"{api} is not in the cluster", "every cluster has it")
    core: tuple[tuple[Kind, tuple[Key, ...], str], ...] = (
        ("api-service", wanted.api, api),
        ("dns-service", wanted.dns, "the DNS service"),
    )
    for kind, keys, what in core:
        for key in keys:
            service = finder.at(key)
            if service is not None and not any(server.weight > 0 for server in service.servers):
                why = "its endpoints are not ready, or kube-proxy does not see them"
                found.differs(kind, what, f"{_key(key)} has no real server that takes connections", why)


def _service(found: Findings, expectation: ExpectedService, service: VirtualService, scheduler: str) -> None:
    subject = expectation.subject
    if service.scheduler != scheduler:
        says = f"{service} has the scheduler {service.scheduler}; the configuration says {scheduler}"
        why = "kube-proxy runs with an older configuration (restart its DaemonSet), or something edited the service"
        found.differs("scheduler", subject, says, why)
    _affinity(found, expectation, service, subject)
    shown = {server.place.pair for server in service.servers}
    for target in sorted(expectation.required - shown, key=in_order):
        if not shown & _shown_as(target):
            found.missing_server(subject, str(service), place_text(*target))
    may: set[Pair] = {*expectation.required, *expectation.allowed}
    if any(None in pair for pair in shown):
        may = {pair for target in may for pair in _shown_as(target)}
    for server in service.servers:
        _server(found, expectation, service, server, may)


def _shown_as(target: Pair) -> set[Pair]:
    """An endpoint as a listing may show it: resolved listings hide addresses behind names, and cut ports."""
    address, port = target
    return {target, (address, None), (None, port), (None, None)}


def _affinity(found: Findings, expectation: ExpectedService, service: VirtualService, subject: str) -> None:
    is_, wanted = service.persistent, expectation.port.affinity
    if (is_ is None) == (wanted is None) and (service.ticks or is_ == wanted):
        return
    has = "not persistent" if is_ is None else f"persistent for {is_} s"
    found.wrong_affinity(subject, str(service), has, wanted)


def _server(
    found: Findings, expectation: ExpectedService, service: VirtualService, server: RealServer, may: set[Pair]
) -> None:
    place = server.place
    name = f"{expectation.subject} -> {place}"
    if place.pair not in may:
        # Weight 0: kube-proxy lets the connections of a removed endpoint end (graceful termination).
        if server.weight > 0:
            known = place.pair in expectation.endpoints
            found.stale_server(expectation.subject, str(service), str(place), expectation.port.owner, known=known)
        return
    if place.pair in expectation.required and server.weight != 1:
        more = "something else edited the table; the endpoint gets more than its share"
        why = more if server.weight else "an endpoint that gets no new connections"
        found.differs("weight", name, f"{service} has {place} with weight {server.weight}; kube-proxy sets 1", why)
    if server.forward not in ("Masq", "Local"):
        why = "kube-proxy only masquerades; another program made this entry"
        found.differs("forward", name, f"{service} forwards to {place} by {server.forward}", why)


def _node_ports(found: Findings, table: Table, wanted: Expected, known: set[int], scheduler: str) -> None:
    """Node ports of a node whose addresses are not known: each that the table shows is judged."""
    by_port: dict[tuple[str, int], list[ExpectedService]] = {}
    for one in wanted.node_ports:
        by_port.setdefault((one.key[0], one.key[2]), []).append(one)
    seen: set[tuple[str, int]] = set()
    for service in table.services if by_port else ():
        if id(service) in known or service.place.port is None:
            continue
        pair: tuple[str, int] = (service.protocol, service.place.port)
        for node_port in by_port.get(pair, ()):
            address = service.place.address
            if address is not None and address.version == node_port.port.cluster_ip.version:
                known.add(id(service))
                seen.add(pair)
                _service(found, node_port, service, scheduler)
    for missing in by_port.keys() - seen:
        one = by_port[missing][0]
        says = f"node port {one.key[0]} {one.key[2]} of {one.port.owner} has no virtual service"
        why = "kube-proxy did not create it, or nodePortAddresses matches no address of this node"
        found.differs("missing-service", one.subject, says, why)


def _stale(found: Findings, table: Table, known: set[int], excluded: tuple[Network, ...], may_be_known: int) -> None:
    """What is in the table and belongs to no Service; so many names that say nothing may be those of Services."""
    for service in table.services:
        if id(service) in known:
            continue
        place = service.place
        if place.address is not None and any(place.address in network for network in excluded):
            continue
        if place.address is None and may_be_known > 0:
            may_be_known -= 1
            continue
        if place.address is None or place.port is None:
            says = f"{service} cannot be matched: the listing does not show its address and port"
            why = "use `ipvsadm -L -n`, which resolves nothing and cuts nothing"
            found.differs("unreadable", str(service), says, why)
        else:
            found.differs("stale-service", str(service), f"{service} belongs to no Service of the cluster", _FOREIGN)


def _addresses(found: Findings, wanted: Expected, bound: frozenset[Address]) -> None:
    missing = wanted.addresses - bound
    if len(missing) > 1 and missing == wanted.addresses:
        says = f"kube-ipvs0 has none of the {len(missing)} addresses of Services"
        found.differs("missing-address", "kube-ipvs0", says, _NOT_BOUND)
        missing = frozenset()
    owners = {one.key[1]: one.port.owner for one in wanted.services} if missing else {}
    for address in sorted(missing, key=address_order):
        found.differs("missing-address", str(address), f"kube-ipvs0 lacks {address} of {owners[address]}", _NOT_BOUND)
    for address in sorted(bound - wanted.addresses - wanted.may, key=address_order):
        # kube-proxy looks for and binds IPv6 link-local addresses of its own accord nowhere: the kernel adds one.
        if not address.is_link_local:
            why = "left over from a deleted Service: the node swallows packets to it"
            found.differs("stale-address", str(address), f"kube-ipvs0 has {address}, which no Service has", why)


def _key(key: Key) -> str:
    return f"{key[0]} {place_text(key[1], key[2])}"

"""Find in a table what is expected, also where a listing with resolved names hides address or port.

`ipvsadm -L` prints names and cuts them at the width of its column. Three cases: the name says the address (EC2's do),
it is that of the Service (the node asks the cluster's DNS), or it says nothing: then what it is cannot be told.
Everything is looked up in an index, since tables with 100,000 real servers exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from amigen.ipvs.expected import ExpectedService
from amigen.ipvs.model import Key, Place, Table, VirtualService
from amigen.services.model import Target


class Finder:
    """The services of one table."""

    def __init__(self, table: Table) -> None:
        self._by_key: dict[Key, VirtualService] = {}
        self._by_address: dict[tuple[object, object], list[VirtualService]] = {}
        self._by_name: dict[tuple[object, str], list[VirtualService]] = {}
        self._nameless: set[tuple[object, int | None]] = set()
        for service in table.services:
            if (key := service.key) is not None:
                self._by_key[key] = service
            elif service.place.address is not None:
                self._by_address.setdefault((service.protocol, service.place.address), []).append(service)
            else:
                self._nameless.add((service.protocol, service.place.port))
                if called := _called(service.place.name):
                    self._by_name.setdefault((service.protocol, called), []).append(service)

    def at(self, key: Key) -> VirtualService | None:
        """The service at an address and port; where the port is hidden, address and protocol decide."""
        if found := self._by_key.get(key):
            return found
        return _only(self._by_address.get(key[:2], ()), key[2])

    def find(self, expectation: ExpectedService) -> VirtualService | None:
        """The service of an expectation: by its key, else by the Service's name in the cluster's DNS."""
        key = expectation.key
        return self.at(key) or _only(self._by_name.get((key[0], expectation.port.owner), ()), key[2])

    def may_hide(self, key: Key) -> bool:
        """Whether a name that says nothing may stand for it."""
        return (key[0], None) in self._nameless or (key[0], key[2]) in self._nameless


def _only(services: Iterable[VirtualService], port: int) -> VirtualService | None:
    matches = [one for one in services if one.place.port in (None, port)]
    return matches[0] if len(matches) == 1 else None


def _called(name: str) -> str:
    """`kubernetes.default.svc.clust` is default/kubernetes; a name that was cut before its namespace says nothing."""
    words = name.split(".")
    return f"{words[1]}/{words[0]}" if len(words) >= 3 and words[2] == "svc" else ""


class Places:
    """Places as a listing shows them, asked for an endpoint, or endpoints asked for a place.

    Args:
        places: Address and port of each; None: hidden.
    """

    def __init__(self, places: Iterable[Place | Target]) -> None:
        pairs = [one if isinstance(one, tuple) else (one.address, one.port) for one in places]
        self.exact = {one for one in pairs if None not in one}
        self._hidden = {one for one in pairs if None in one}
        self._indexed: set[tuple[object, object]] | None = None

    def may_show(self, target: Target) -> bool:
        """Whether a resolved listing may show this endpoint under a name, or without its port."""
        address, port = target
        return bool(self._hidden) and any(one in self._hidden for one in ((address, None), (None, port), (None, None)))

    def may_be(self, place: Place) -> bool:
        """Whether a place is one of these, as far as it is shown."""
        if place.address is not None and place.port is not None:
            return (place.address, place.port) in self.exact
        if self._indexed is None:
            self._indexed = {half for one in self.exact for half in ((one[0], None), (None, one[1]), (None, None))}
        return (place.address, place.port) in self._indexed

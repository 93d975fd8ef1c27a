"""Find in a table what is expected, also where a listing with resolved names hides address or port.

`ipvsadm -L` prints names and cuts them at the width of its column. Three cases: the name says the address (EC2's do),
it is that of the Service (the node asks the cluster's DNS), or it says nothing: then what it is cannot be told.
"""

from __future__ import annotations

from amigen.ipvs.expected import ExpectedService, Target
from amigen.ipvs.model import Key, Place, RealServer, Table, VirtualService


class Finder:
    """The services of one table.

    Args:
        table: The table.
    """

    def __init__(self, table: Table) -> None:
        self._by_key = {key: service for service in table.services if (key := service.key)}
        self._hidden = [one for one in table.services if one.firewall_mark is None and one.key is None]

    def at(self, key: Key) -> VirtualService | None:
        """The service at an address and port; where the port is hidden, address and protocol decide."""
        protocol, address, port = key
        if found := self._by_key.get(key):
            return found
        matches = [
            one
            for one in self._hidden
            if one.protocol == protocol
            and one.place
            and one.place.address == address
            and one.place.port in (None, port)
        ]
        return matches[0] if len(matches) == 1 else None

    def find(self, expectation: ExpectedService) -> VirtualService | None:
        """The service of an expectation: by its key, else by the Service's name in the cluster's DNS."""
        if found := self.at(expectation.key):
            return found
        matches = [one for one in self._nameless(expectation.key) if _is_called(one.place, expectation.owner)]
        return matches[0] if len(matches) == 1 else None

    def may_hide(self, key: Key) -> bool:
        """Whether a name that says nothing may stand for it."""
        return bool(self._nameless(key))

    def _nameless(self, key: Key) -> list[VirtualService]:
        return [
            one
            for one in self._hidden
            if one.protocol == key[0] and one.place and one.place.address is None and one.place.port in (None, key[2])
        ]


def _is_called(place: Place | None, owner: str) -> bool:
    """`kubernetes.default.svc.clust` is default/kubernetes; a name that was cut before its namespace says nothing."""
    namespace, _, name = owner.partition("/")
    called = f"{name}.{namespace}.svc"
    return place is not None and (place.name == called or place.name.startswith(called + "."))


def target_of(place: Place) -> Target | Place:
    """Address and port where both are shown."""
    return (place.address, place.port) if place.address is not None and place.port is not None else place


def is_hidden(servers: dict[Target | Place, RealServer], target: Target) -> bool:
    """Whether a resolved listing may show this endpoint under a name, or without its port."""
    return any(
        isinstance(shown, Place) and shown.address in (None, target[0]) and shown.port in (None, target[1])
        for shown in servers
    )


def may_be(place: Place, targets: frozenset[Target]) -> bool:
    """Whether it is one of these, as far as it is shown."""
    return any(place.address in (None, address) and place.port in (None, port) for address, port in targets)

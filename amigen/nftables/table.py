"""kube-proxy's nftables table as `nft -j list table ip kube-proxy` prints it.

Sources: libnftables-json(5) for the format; pkg/proxy/nftables/proxier.go of Kubernetes 1.37 for chains, maps and sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from amigen.base.errors import InputError
from amigen.services.model import Address, Target, read_address

# Address (None: a node port), protocol in upper case, port, and the family: 4 or 6.
Key: TypeAlias = tuple[Address | None, str, int, int]

_TABLE = "kube-proxy"
_REJECT = "reject-chain"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a chain, as far as it says where a connection goes.

    Attributes:
        conditional: It is for connections from this node or its pods alone.
        affinity: The set that it looks up or updates; empty: none.
        targets: Where it sends to itself.
        goto: Chains where it continues.
    """

    conditional: bool = False
    affinity: str = ""
    targets: tuple[Target, ...] = ()
    goto: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Where connections to an address go.

    Attributes:
        targets: Of everybody else.
        inside: Of this node and its pods, where a rule says so; None: as everybody else.
        affinity: Seconds for which a client stays with its endpoint, one for each set.
    """

    targets: frozenset[Target] = frozenset()
    inside: frozenset[Target] | None = None
    affinity: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class NftTable:
    """The tables of both families.

    Attributes:
        services: Chain by address or node port.
        refused: `reject` or `drop` by address or node port, where no endpoint can take connections.
        guarded: Load balancer addresses with source ranges.
        cluster_ips: Addresses that are refused at other ports.
        families: Those that have a table.
    """

    services: dict[Key, str] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    guarded: dict[Key, str] = field(default_factory=dict)
    cluster_ips: set[Address] = field(default_factory=set)
    families: set[int] = field(default_factory=set)
    chains: dict[tuple[int, str], list[Rule]] = field(default_factory=dict)
    timeouts: dict[tuple[int, str], int] = field(default_factory=dict)

    def reached(self, key: Key) -> Reached:
        """Where connections to this address or node port go."""
        return self._follow(key[3], self.services[key], frozenset())

    def _follow(self, family: int, chain: str, seen: frozenset[str]) -> Reached:
        targets: set[Target] = set()
        inside: set[Target] | None = None
        affinity: set[int] = set()
        for rule in self.chains.get((family, chain), ()) if chain not in seen else ():
            if rule.affinity and not rule.goto:
                affinity.add(self.timeouts.get((family, rule.affinity), 0))
            if rule.affinity:
                continue
            targets.update(rule.targets)
            for name in rule.goto:
                found = self._follow(family, name, seen | {chain})
                affinity |= found.affinity
                if rule.conditional:
                    inside = (inside or set()) | found.targets
                else:
                    targets |= found.targets
        return Reached(
            targets=frozenset(targets),
            inside=None if inside is None else frozenset(inside),
            affinity=frozenset(affinity),
        )


def parse(texts: Mapping[int, str]) -> NftTable:
    """Read the tables, by family; an empty text is a table that is not there.

    Raises:
        InputError: Not the JSON of nft.
    """
    table = NftTable()
    for family, text in texts.items():
        if not text.strip():
            continue
        try:
            objects = json.loads(text)["nftables"]
            for item in objects:
                _add(table, family, item)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise InputError(
                f"the nftables table {_TABLE} cannot be read: {type(error).__name__}: {error}",
                "expected the output of `nft -j list table ip kube-proxy`",
            ) from None
    return table


def _add(table: NftTable, family: int, item: Mapping[str, Any]) -> None:
    kind, body = next(iter(item.items()))
    if kind == "table" and body["name"] == _TABLE:
        table.families.add(family)
    elif body.get("table") != _TABLE:
        return
    elif kind == "chain":
        table.chains.setdefault((family, body["name"]), [])
    elif kind == "rule":
        table.chains.setdefault((family, body["chain"]), []).append(_rule(body["expr"]))
    elif kind == "set" and "timeout" in body:
        table.timeouts[family, body["name"]] = int(body["timeout"])
    elif kind == "set" and body["name"] == "cluster-ips":
        table.cluster_ips |= {_address(one) for one in body.get("elem", ())}
    elif kind == "map":
        _add_map(table, family, body)


def _add_map(table: NftTable, family: int, body: Mapping[str, Any]) -> None:
    name = body["name"]
    into = {
        "service-ips": table.services,
        "service-nodeports": table.services,
        "no-endpoint-services": table.refused,
        "no-endpoint-nodeports": table.refused,
        "firewall-ips": table.guarded,
    }.get(name)
    for element, verdict in body.get("elem", ()) if into is not None else ():
        words = _value(element)["concat"]
        address = _address(words[0]) if len(words) == 3 else None
        chain = verdict["goto"]["target"] if "goto" in verdict else next(iter(verdict))
        assert into is not None
        into[address, str(words[-2]).upper(), int(words[-1]), family] = "reject" if chain == _REJECT else chain


def _value(element: Any) -> Any:
    """An element with a comment or a timeout is wrapped."""
    return element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element


def _address(element: Any) -> Address:
    address = read_address(_value(element))
    if address is None:
        raise ValueError(f"{element!r} is not an address")
    return address


def _rule(expressions: list[dict[str, Any]]) -> Rule:
    conditional, affinity = False, ""
    targets: list[Target] = []
    goto: list[str] = []
    for expression in expressions:
        kind, body = next(iter(expression.items()))
        if kind == "match":
            right = body["right"]
            is_set = isinstance(right, str) and right.startswith("@affinity-")
            affinity = right[1:] if is_set else affinity
            conditional = conditional or not (is_set or "meta" in body["left"])
        elif kind == "set" and str(body["set"]).startswith("@affinity-"):
            affinity = body["set"][1:]
        elif kind == "dnat":
            targets += _dnat(body)
        elif kind in ("goto", "jump"):
            goto.append(body["target"])
        elif kind == "vmap" and isinstance(body["data"], dict):
            goto += [verdict["goto"]["target"] for _, verdict in body["data"]["set"]]
    return Rule(conditional=conditional, affinity=affinity, targets=tuple(targets), goto=tuple(goto))


def _dnat(body: Mapping[str, Any]) -> Iterator[Target]:
    address = body["addr"]
    if isinstance(address, dict):
        for _, data in address["map"]["data"]["set"]:
            host, port = data["concat"]
            yield _address(host), int(port)
    else:
        yield _address(address), int(body["port"])

"""Connections of the IPVS table: where they go, and how full the table is.

Source: `ip_vs_conn_seq_show` in net/netfilter/ipvs/ip_vs_conn.c of Linux for /proc/net/ip_vs_conn. The node counts them
(amigen/kubeproxy/node_facts.py), since a busy one has a million lines: COUNT PROTOCOL ADDRESS PORT SERVER PORT,
addresses and ports in hexadecimal for IPv4, and ports in hexadecimal for IPv6.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from amigen.base.errors import InputError
from amigen.ipvs.model import Address, Key, Table
from amigen.services.difference import Findings
from amigen.services.model import Target

# Whether the kernel ends a connection to a removed server at its next packet.
EXPIRE = "net.ipv4.vs.expire_nodest_conn"
# More connections than this for each bucket make every lookup slow.
_FULL = 8


@dataclass(frozen=True, kw_only=True)
class Connections:
    """Connections by service and server.

    Attributes:
        counts: How many each pair has; templates of session affinity are among them.
        buckets: Size of the table; 0: not known.
    """

    counts: dict[tuple[Key, Target], int]
    buckets: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def parse_connections(text: str, bits: int | None) -> Connections:
    """Read the node's summary.

    Args:
        bits: The parameter conn_tab_bits of ip_vs; None: not known.

    Raises:
        InputError: Not such a summary.
    """
    counts: dict[tuple[Key, Target], int] = {}
    for line in text.splitlines():
        words = line.split()
        try:
            count, protocol, vip, port, server, server_port = words
            if protocol not in ("TCP", "UDP", "SCTP"):
                continue  # `IP` is a template of a firewall mark, which kube-proxy has none of
            key: Key = (protocol, _address(vip), int(port, 16))  # type: ignore[assignment]
            counts[key, (_address(server), int(server_port, 16))] = int(count)
        except ValueError:
            raise InputError(
                f"the connections of IPVS cannot be read: {line!r}", "does /proc/net/ip_vs_conn exist there?"
            ) from None
    return Connections(counts=counts, buckets=0 if bits is None else 1 << bits)


def _address(text: str) -> Address:
    return IPv4Address(int(text, 16)) if len(text) == 8 and ":" not in text else ip_address(text)


def judge_connections(found: Connections, table: Table, *, expires: bool) -> Findings:
    """Connections that stay with a server that is gone, and a table that is too full.

    Args:
        expires: The kernel ends a connection to a removed server at its next packet
            (`net.ipv4.vs.expire_nodest_conn`): then what is left is idle, and only a note.
    """
    judged = Findings()
    weights = {
        one.key: {server.place.pair: server.weight for server in one.servers} for one in table.services if one.key
    }
    # Of known services. Templates of session affinity have port 0 for both.
    removed = {
        (key, target): count
        for (key, target), count in found.counts.items()
        if key in weights and key[2] != 0 and target not in weights[key]
    }
    for (key, target), count in removed.items() if not expires else ():
        says = (
            f"{count} connections of {key[0]} {key[1]} port {key[2]} still go to {target[0]} port {target[1]},"
            " which is no longer a real server"
        )
        why = (
            f"packets of these clients are dropped as long as they keep sending: `sysctl -w {EXPIRE}=1` ends each"
            " connection at its next packet; kube-proxy sets that at its start"
        )
        judged.differs("connections", f"{key[0]} {key[1]}:{key[2]} -> {target[0]}:{target[1]}", says, why)
    if removed and expires:
        judged.notes.append(
            f"{sum(removed.values())} connections go to {len(removed)} removed servers: the kernel ends each at its"
            f" next packet, or when it times out ({EXPIRE} is 1)"
        )
    if found.buckets and found.total > _FULL * found.buckets:
        says = f"{found.total} connections in {found.buckets} buckets"
        why = "lookups become slow; raise kubeProxy.ipvs.connTabBits in the spec and replace the node"
        judged.differs("connections", "the connection table", says, why)
    draining = [count for (key, target), count in found.counts.items() if weights.get(key, {}).get(target) == 0]
    judged.facts.append(f"{found.total} connections, {sum(draining)} of them on {len(draining)} draining servers")
    return judged

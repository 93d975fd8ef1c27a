"""What a node shows of its kube-proxy: the gather script of `amigen.facts`, one round trip, read into types.

The script changes nothing and loads no module: ipvsadm, ipset and nft are asked only where the kernel has loaded what
they would load.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.base.interrupt import ProgramPool
from amigen.connections import connect, parse_target
from amigen.connections.model import Connection, ConnectOptions, UnreachableError
from amigen.facts import Facts, GatherError, Wanted
from amigen.facts import gather as gather_facts
from amigen.ipvs.connections import Connections, parse_connections
from amigen.ipvs.model import Address, Table
from amigen.ipvs.parse import parse
from amigen.knowledge import MODE_MODULES, SCHEDULERS, scheduler_module
from amigen.nftables.table import NftTable
from amigen.nftables.table import parse as parse_nft

DEFAULT_METRICS = "127.0.0.1:10249"
_AT_ONCE = 8  # ssh of one machine to so many
_SECONDS = 60
# The tables of ten thousand services with their endpoints.
_ANSWER_BYTES = 64 << 20

# kube-proxy answers on its metrics address; a proxy of the environment has no business with it.
_MODE = """\
if command -v curl >/dev/null 2>&1; then
  curl -s --noproxy '*' --max-time 5 "http://HOST:PORT/proxyMode"
elif command -v wget >/dev/null 2>&1; then
  wget -q --no-proxy -T 5 -O - "http://HOST:PORT/proxyMode"
elif command -v bash >/dev/null 2>&1; then
  timeout 5 bash -c 'exec 3<>/dev/tcp/HOST/PORT; printf "GET /proxyMode HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3' |
    sed '1,/^\\r*$/d'
fi"""
# ipvsadm would load ip_vs; where it is not loaded there is no table, and that is the answer.
_TABLE = """\
[ -e /proc/net/ip_vs ] || exit 0
if command -v ipvsadm >/dev/null 2>&1 && table=$(ipvsadm -L -n 2>/dev/null); then
  printf '%s\\n' "$table"
else
  cat /proc/net/ip_vs
fi"""
_CONNECTIONS = """\
[ -e /proc/net/ip_vs_conn ] && awk 'NR > 1 { count[$1 " " $4 " " $5 " " $6 " " $7]++ }
END { for (pair in count) print count[pair], pair }' /proc/net/ip_vs_conn"""
_TIMEOUTS = "[ -e /proc/net/ip_vs ] && ipvsadm -L --timeout"
_SETS = "grep -q '^ip_set ' /proc/modules && ipset list -n"
# nft would load nf_tables; kube-proxy in nftables mode has loaded it, as a module or as a part of the kernel.
_LOADED = "{ grep -q '^nf_tables ' /proc/modules || { MODE; } | grep -qx nftables; }"
_NFT = f"{_LOADED} && nft -j list table FAMILY kube-proxy"
_OTHERS = {
    "host": "uname -n",
    "table": _TABLE,
    "bound": "ip -o addr show dev kube-ipvs0",
    "addresses": "ip -o addr show",
    "nft": "nft --version",
    "connections": _CONNECTIONS,
    "timeouts": _TIMEOUTS,
    "sets": _SETS,
}
_SYSCTLS = ("net/ipv4/vs/expire_nodest_conn", "net/ipv4/conf/all/arp_ignore", "net/ipv4/conf/all/arp_announce")


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """What was gathered from one node.

    Attributes:
        host: The node's host name.
        mode: What kube-proxy answers to `/proxyMode`; empty: no answer.
        table: The IPVS table; None: ip_vs is not loaded, or nothing could read it.
        bound: Addresses of `kube-ipvs0`; None: there is no such interface.
        addresses: The node's own, without those of `kube-ipvs0`; None: not known.
        nft: Version of nft on the node; empty: not there.
        nftables: kube-proxy's nftables table; None: it does not exist, or could not be read.
        connections: Those of IPVS; None: not gathered.
        timeouts: Seconds of IPVS for TCP, TCP after FIN, and UDP; None: not known.
        sets: Names of ipsets.
        sysctls: Such as `net.ipv4.vs.expire_nodest_conn` -> its value.
        of_node: Kernel and modules.
    """

    host: str = ""
    mode: str = ""
    table: Table | None = None
    bound: frozenset[Address] | None = None
    addresses: frozenset[Address] | None = None
    nft: tuple[int, ...] = ()
    nftables: NftTable | None = None
    connections: Connections | None = None
    timeouts: tuple[int, int, int] | None = None
    sets: frozenset[str] = frozenset()
    sysctls: dict[str, str] = field(default_factory=dict)
    of_node: Facts = field(default_factory=Facts)


@dataclass(frozen=True, kw_only=True)
class NodeMode:
    """One node's mode.

    Attributes:
        mode: Empty where nothing says it.
        by: `looked` (on the node), `proxy` (/proxyMode through the API server), `log`; empty with an empty mode.
    """

    node: str
    mode: str
    by: str


def _commands(metrics: str) -> dict[str, str]:
    """What is asked, for kube-proxy's `metricsBindAddress`."""
    host, _, port = metrics.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    if not (re.fullmatch(r"[0-9A-Fa-f.:\[\]]{2,45}", host) and port.isascii() and port.isdigit()):
        host, port = "127.0.0.1", "10249"
    mode = _MODE.replace("HOST", host).replace("PORT", port)
    tables = {name: _NFT.replace("MODE", mode).replace("FAMILY", name) for name in ("ip", "ip6")}
    return {"mode": mode, **_OTHERS, **tables}


def wanted(metrics: str = DEFAULT_METRICS) -> Wanted:
    """All that is gathered from a node."""
    modules = [name for names in MODE_MODULES.values() for name in names]
    return Wanted(
        modules=tuple(dict.fromkeys([*modules, *map(scheduler_module, SCHEDULERS)])),
        settings=tuple(f"/proc/sys/{name}" for name in _SYSCTLS),
        commands=tuple(_commands(metrics).values()),
    )


def node_at(target: str, ssh: tuple[str, ...] = ()) -> Connection:
    """The way to a node that a target names, in the grammar of `amigen verify`.

    Args:
        target: Any but an image file or a folder.
        ssh: More arguments of ssh, such as `-i FILE`.

    Raises:
        InputError: Another form.
        ToolError: The program that reaches it is not installed.
    """
    found = parse_target(target)
    if found.kind in ("image", "chroot", "nspawn"):
        raise InputError(f"{target}: not a node that runs", "use local, ssh://[USER@]HOST[:PORT] or ssm://i-INSTANCE")
    return connect(found, ConnectOptions(ssh=ssh, seconds=_SECONDS, limit=_ANSWER_BYTES))


def gather(node: Connection, metrics: str = DEFAULT_METRICS) -> NodeFacts:
    """Ask a node.

    Raises:
        CouldNotCheckError: The node cannot be reached, or the script cannot run there.
        InputError: The node's IPVS table, or its addresses, cannot be read.
    """
    name = node.target.text
    try:
        found = gather_facts(node, wanted(metrics))
    except UnreachableError as error:
        raise CouldNotCheckError(f"{name}: {error.message}", error.hint) from None
    except GatherError as error:
        raise CouldNotCheckError(
            f"{name}: cannot inspect it: {error}",
            "amigen needs root there: log in as root, or as a user who may `sudo -n sh`",
        ) from None
    return read_node(found, metrics)


def read_node(found: Facts, metrics: str = DEFAULT_METRICS) -> NodeFacts:
    """Read what a node answered; raises as `gather`."""
    answers = {name: found.commands[command] for name, command in _commands(metrics).items()}
    said = {name: answer.stdout if answer.code == 0 else "" for name, answer in answers.items()}
    tables = {4: said["ip"], 6: said["ip6"]}
    return NodeFacts(
        host=said["host"].strip(),
        mode=_mode(said["mode"]),
        table=parse(said["table"]) if said["table"].strip() else None,
        bound=_addresses(said["bound"]) if answers["bound"].code == 0 else None,
        addresses=_own(said["addresses"]) if said["addresses"].strip() else None,
        nft=tuple(map(int, match[1].split("."))) if (match := re.search(r"\bv(\d+(?:\.\d+)+)", said["nft"])) else (),
        nftables=parse_nft(tables) if any(text.strip() for text in tables.values()) else None,
        connections=parse_connections(said["connections"], found.connection_table_bits)
        if answers["connections"].code == 0
        else None,
        timeouts=_timeouts(said["timeouts"]),
        sets=frozenset(said["sets"].split()),
        sysctls={
            path.removeprefix("/proc/sys/").replace("/", "."): value.strip() for path, value in found.settings.items()
        },
        of_node=found,
    )


def gather_all(nodes: Sequence[Connection], metrics: str = DEFAULT_METRICS) -> list[NodeFacts | AmigenError]:
    """Ask several nodes side by side: the facts, or why there are none, in their order."""

    def one(node: Connection) -> NodeFacts | AmigenError:
        try:
            return gather(node, metrics)
        except (CouldNotCheckError, InputError) as error:
            return error

    with ProgramPool(max_workers=_AT_ONCE) as pool:
        return list(pool.map(one, nodes))


def _mode(text: str) -> str:
    """The body of the answer: one word; anything else (an error page, another server) is no mode."""
    word = text.strip()
    return word if re.fullmatch(r"[a-z]{1,20}", word) else ""


def _timeouts(text: str) -> tuple[int, int, int] | None:
    """`Timeout (tcp tcpfin udp): 900 120 300`, as ipvsadm prints it."""
    match = re.search(r"tcp tcpfin udp\): (\d{1,9}) (\d{1,9}) (\d{1,9})", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _addresses(text: str) -> frozenset[Address]:
    """Addresses out of `ip -o addr show`."""
    found = re.findall(r"\binet6? ([0-9A-Fa-f.:]+)(?:/\d+)?\s", text)
    try:
        return frozenset(map(ip_address, found))
    except ValueError as error:
        raise InputError(f"the addresses of the node cannot be read: {error}") from None


def _own(text: str) -> frozenset[Address]:
    """Those of all interfaces but kube-ipvs0; each line has the name of its interface."""
    lines = [line for line in text.splitlines() if line.split()[1:2] != ["kube-ipvs0"]]
    return _addresses("\n".join(lines) + "\n")

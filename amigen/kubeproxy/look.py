"""What a node shows of its kube-proxy: one script, one round trip, read into a snapshot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.ipvs.connections import Connections, parse_connections
from amigen.ipvs.model import Address, Table
from amigen.ipvs.parse import parse
from amigen.kubeproxy.run import NodeRunner
from amigen.nftables.table import NftTable
from amigen.nftables.table import parse as parse_nft

DEFAULT_METRICS = "127.0.0.1:10249"
_MARK = "=== amigen "
_AT_ONCE = 8  # ssh of one machine to so many


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was seen on one node.

    Attributes:
        host: The node's host name.
        kernel: Its `uname -r`.
        mode: What kube-proxy answers to `/proxyMode`; empty: no answer.
        table: The IPVS table; None: ip_vs is not loaded, or nothing could read it.
        bound: Addresses of `kube-ipvs0`; None: there is no such interface.
        modules: Loaded or built-in kernel modules, with `_` for `-`.
        loadable: Modules that the running kernel has as files.
        release: `/etc/amigen/release.json`; empty: not an image of amigen.
        addresses: The node's own, without those of `kube-ipvs0`; None: not known.
        nft: `nft --version`; empty: not there.
        nftables: kube-proxy's nftables table; None: there is none, or nothing could read it.
        connections: Those of IPVS; None: not looked at.
    """

    host: str = ""
    kernel: str = ""
    mode: str = ""
    table: Table | None = None
    bound: frozenset[Address] | None = None
    modules: frozenset[str] = frozenset()
    loadable: frozenset[str] = frozenset()
    release: str = ""
    addresses: frozenset[Address] | None = None
    nft: str = ""
    nftables: NftTable | None = None
    connections: Connections | None = None


def script(metrics: str = DEFAULT_METRICS) -> str:
    """The script, for kube-proxy's `metricsBindAddress`."""
    host, _, port = metrics.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    safe = bool(re.fullmatch(r"[0-9A-Fa-f.:\[\]]{2,45}", host)) and port.isascii() and port.isdigit()
    where = (host, port) if safe else ("127.0.0.1", "10249")
    text = (Path(__file__).parent / "look.sh").read_text(encoding="utf-8")
    return text.replace("@HOST@", where[0]).replace("@PORT@", where[1])


def look(runner: NodeRunner, metrics: str = DEFAULT_METRICS) -> Snapshot:
    """Look at a node.

    Raises:
        CouldNotCheckError: The node cannot be reached, or the script cannot run there.
        InputError: The node's IPVS listing, or its addresses, cannot be read.
    """
    code, out, err = runner.run(script(metrics))
    sections = _sections(out)
    if code != 0 or "end" not in sections:
        said = [line for line in err.splitlines() if line.strip()]
        raise CouldNotCheckError(
            f"{runner.name}: cannot inspect it (exit {code}): {said[-1] if said else 'no message'}",
            "amigen needs root there: log in as root, or as a user who may `sudo -n sh`",
        )
    listing = sections.get("ipvs", "")
    return Snapshot(
        host=sections.get("host", "").strip(),
        kernel=sections.get("kernel", "").strip(),
        mode=_mode(sections.get("proxyMode", "")),
        table=parse(listing) if listing.strip() else None,
        bound=_bound(sections["kube-ipvs0"]) if "kube-ipvs0" in sections else None,
        modules=_names(sections.get("modules", "")),
        loadable=_names(sections.get("loadable", "")),
        release=sections.get("release", "").strip(),
        addresses=_addresses(sections["addresses"]) if sections.get("addresses", "").strip() else None,
        nft=sections.get("nft", "").strip(),
        nftables=_nftables(sections),
        connections=parse_connections(sections["connections"], sections.get("conn_tab_bits", "").strip())
        if "connections" in sections
        else None,
    )


def look_on(runners: Sequence[NodeRunner], metrics: str = DEFAULT_METRICS) -> list[Snapshot | AmigenError]:
    """Look at several nodes side by side: what was seen, or why nothing could be, in their order."""

    def one(runner: NodeRunner) -> Snapshot | AmigenError:
        try:
            return look(runner, metrics)
        except (CouldNotCheckError, InputError) as error:
            return error

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(one, runners))


def _sections(out: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in out.split("\n"):
        if line.startswith(_MARK):
            name = line[len(_MARK) :].strip()
            found[name] = []
        elif name:
            found[name].append(line)
    return {key: "\n".join(lines) for key, lines in found.items()}


def _mode(text: str) -> str:
    """The body of the answer: one word; anything else (an error page, another server) is no mode."""
    word = text.strip()
    return word if re.fullmatch(r"[a-z]{1,20}", word) else ""


def _bound(text: str) -> frozenset[Address]:
    """Addresses out of `ip -o addr show dev kube-ipvs0`."""
    found = re.findall(r"\binet6? ([0-9A-Fa-f.:]+)(?:/\d+)?\s", text)
    try:
        return frozenset(map(ip_address, found))
    except ValueError as error:
        raise InputError(f"the addresses of kube-ipvs0 cannot be read: {error}") from None


def _nftables(sections: dict[str, str]) -> NftTable | None:
    texts = {4: sections.get("nftables4", ""), 6: sections.get("nftables6", "")}
    return parse_nft(texts) if any(text.strip() for text in texts.values()) else None


def _addresses(text: str) -> frozenset[Address]:
    """Addresses out of `ip -o addr show`, each line with the name of its interface."""
    lines = [line for line in text.splitlines() if line.split()[1:2] != ["kube-ipvs0"]]
    return _bound("\n".join(lines) + "\n")


def _names(text: str) -> frozenset[str]:
    return frozenset(word.replace("-", "_") for word in text.split())

"""Read `ipvsadm -L -n`, `ipvsadm -L` and `/proc/net/ip_vs`; one idea: they are one table.

Sources: print_service_entry and addrport_to_anyname in ipvsadm.c of ipvsadm 1.31
(https://git.kernel.org/pub/scm/utils/kernel/ipvsadm/ipvsadm.git), and ip_vs_info_seq_show in
net/netfilter/ipvs/ip_vs_ctl.c of Linux. What matters of them here:

* ipvsadm cuts IPv4 services and real servers at a fixed width: a long resolved name loses its end and its port;
* people paste listings with what their terminal or editor put around them: indentation, code fences, prompts, colours;
* `/proc/net/ip_vs` prints addresses, ports, marks and masks in hexadecimal, an IPv6 prefix length byte-swapped, and the
  persistence timeout in the kernel's ticks (seconds times CONFIG_HZ), where ipvsadm prints seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, NoReturn, cast

from amigen.base.errors import InputError
from amigen.ipvs.model import Address, Forward, Place, Protocol, RealServer, Table, VirtualService

_FIRST = re.compile(r"IP Virtual Server version \d+\.\d+\.\d+ \(size=(\d+)\)")
_TITLE = re.compile(r"Prot\b|->\s+RemoteAddress:Port")
_SERVICE = re.compile(r"(TCP|UDP|SCTP)\s+(\S+)\s+([a-z0-9_]{1,16})(?:\s+(.*))?")
_SERVER = re.compile(r"->\s+(\S+)\s+(Masq|Local|Tunnel|Route)\s+(-?[0-9]{1,20})(?:\s+-?[0-9]{1,20}){2}")
# A name that EC2 gives to a private address: ip-10-100-0-1.us-east-1.compute.internal, or ip-10-100-0-1.ec2.internal.
_EC2_NAME = re.compile(r"ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})(?:\.|:|$)")
# Other outputs about IPVS, known by a line of theirs; none of them has all that a comparison needs.
_OTHERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"Prot .*\bConns\b", "`ipvsadm -L --stats`, which has no schedulers and weights"),
        (r"Prot .*\bCPS\b", "`ipvsadm -L --rate`, which has no schedulers and weights"),
        (r"Prot .*\bUthreshold\b", "`ipvsadm -L --thresholds`, which has no schedulers and weights"),
        (r"(Prot|->) .*\bPersistConn\b", "`ipvsadm -L --persistent-conn`"),
        (r"(Prot|->) .*\bTunnelInfo\b", "`ipvsadm -L --tun-info`"),
        (r"IPVS connection entries$|pro expire state ", "`ipvsadm -L -c`, the connections and not the services"),
        (r"Pro FromIP +FPrt ", "/proc/net/ip_vs_conn, the connections and not the services"),
        (r"Timeout \(tcp tcpfin udp\):", "`ipvsadm -L --timeout`, which has no services"),
        (r"Total Incoming Outgoing ", "/proc/net/ip_vs_stats, which has no services"),
        (r"(master|backup) sync daemon ", "`ipvsadm -L --daemon`, which has no services"),
        (r"-[Aa] -[tufs] ", "`ipvsadm -S` (ipvsadm-save)"),
    )
)
# What a terminal or an editor puts around a listing.
_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_FENCE = re.compile(r"\s*(```|~~~)[\w-]*\s*")
_PROMPT = re.compile(
    r"\s*(\S.{0,100})?[#$>%]\s*"
    r"((sudo\s+(-\S+\s+)*)?(/\S*/)?(ipvsadm|cat|watch|kubectl|ssh|docker|nsenter|crictl|exit|logout)\b.*)?"
)
# Where ipvsadm cuts an address with its port: 28 in its source, 24 in the listing of the EKS guide.
_WIDTHS = (24, 28)
# Ports as `ipvsadm -L` prints them, in place of this machine's /etc/services: the same listing must read the same
# everywhere. A name that is not here leaves the port open, and the comparison goes by address.
# https://www.iana.org/assignments/service-names-port-numbers, the names in Debian's and Amazon Linux's /etc/services.
_NAMES = """
ftp/21 ssh/22 telnet/23 smtp/25 domain/53 tftp/69 http/80 kerberos/88 pop3/110 sunrpc/111 ntp/123 imap2/143 imap/143
snmp/161 bgp/179 ldap/389 https/443 microsoft-ds/445 submission/587 ldaps/636 domain-s/853 imaps/993 pop3s/995
ms-sql-s/1433 nfs/2049 etcd-client/2379 etcd-server/2380 mysql/3306 ms-wbt-server/3389 sip/5060 sip-tls/5061
postgresql/5432 postgres/5432 amqp/5672 redis/6379 http-alt/8080 webcache/8080 https-alt/8443 cslistener/9000
jetdirect/9100 memcache/11211 */0
"""
_PORTS = {name: int(port) for name, port in (pair.split("/") for pair in _NAMES.split())}
_HEX_ADDRESS = re.compile(r"(?:([0-9A-F]{8})|\[([0-9a-f:.]+)\]):([0-9A-F]{4})")


class _Line(NamedTuple):
    """A line and its number, for messages that say where."""

    number: int
    text: str

    def wrong(self, why: str) -> NoReturn:
        shown = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        raise InputError(
            f"line {self.number} of the IPVS listing: {why}: {shown!r}",
            "expected the output of `ipvsadm -L -n`, `ipvsadm -L` or `cat /proc/net/ip_vs`",
        )


def parse(text: str) -> Table:
    """Read any of the three listings.

    Raises:
        InputError: It is none of them; the message has the line.
    """
    lines = _lines(text)
    if not lines:
        raise InputError(
            "the IPVS listing is empty",
            "run `ipvsadm -L -n` as root; without the module ip_vs there is no table",
        )
    for line in lines[:3]:
        for pattern, what in _OTHERS:
            if pattern.match(line.text):
                line.wrong(f"this is the output of {what}")
    first = _FIRST.fullmatch(lines[0].text)
    body = [line for line in lines[1 if first else 0 :] if not _TITLE.match(line.text)]
    proc = any(_is_proc(line) for line in body)
    services: list[tuple[VirtualService | None, list[RealServer]]] = []
    for line in body:
        if line.text.split(maxsplit=1)[0] == "FWM":
            if len(line.text.split()) < 3:
                line.wrong("expected a firewall mark and a scheduler")
            services.append((None, []))  # not of kube-proxy
        elif not line.text.startswith("->"):
            services.append((_service(line, proc=proc), []))
        elif services:
            services[-1][1].append(_server(line, proc=proc))
        else:
            line.wrong("a real server without its virtual service")
    if not first and not services:
        lines[0].wrong("not an IPVS listing")
    return Table(
        size=int(first[1][:12]) if first else 0,
        services=tuple(replace(service, servers=tuple(servers)) for service, servers in services if service),
    )


def _lines(text: str) -> list[_Line]:
    """The listing's own lines, without blank ones and what a terminal or an editor put around them."""
    found = []
    quoted = all(line.lstrip().startswith(">") for line in text.split("\n") if line.strip())
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = _COLOUR.sub("", line) if "\x1b" in line else line
        line = line.replace(">", "", 1) if quoted else line
        line = line.strip()
        is_listing = line.startswith(("->", "TCP ", "UDP ", "SCTP ", "FWM "))
        if line and (is_listing or not (_FENCE.fullmatch(line) or _PROMPT.fullmatch(line))):
            found.append(_Line(number, line))
    return found


def _is_proc(line: _Line) -> bool:
    """In `/proc/net/ip_vs` a port is four hexadecimal digits, after eight for IPv4 or a full IPv6 address."""
    words = line.text.split(maxsplit=2)
    match = _HEX_ADDRESS.fullmatch(words[1]) if len(words) > 1 else None
    return match is not None and (match[1] is not None or len(match[2]) == 39)


def _service(line: _Line, *, proc: bool) -> VirtualService:
    """`TCP  10.100.0.1:443 rr persistent 300`."""
    match = _SERVICE.fullmatch(line.text)
    if match is None:
        line.wrong("expected TCP, UDP or SCTP, an address and a scheduler")
    seconds = _persistence(line, (match[4] or "").split(), proc=proc)
    return VirtualService(
        protocol=cast("Protocol", match[1]),
        place=_place(line, match[2], proc=proc),
        scheduler=match[3],
        persistent=seconds,
        ticks=proc and seconds is not None,
    )


def _persistence(line: _Line, words: Iterable[str], *, proc: bool) -> int | None:
    """The number of `persistent 300`; what else may follow the scheduler kube-proxy does not set.

    In any order: `(sh-port)`, `mask M`, `pe NAME`, `ops`; in `/proc/net/ip_vs` the mask follows without its name.
    """
    rest, found = iter(words), None
    for word in rest:
        if word == "persistent":
            seconds = next(rest, "")
            if not re.fullmatch("[0-9]{1,20}", seconds):
                line.wrong("the persistence timeout is not a number")
            found = int(seconds)
        if word in ("mask", "pe") or (proc and word == "persistent"):
            next(rest, None)
        elif word not in ("persistent", "ops") and not (word.startswith("(") and word.endswith(")")):
            line.wrong(f"unknown flag {word!r}")
    return found


def _server(line: _Line, *, proc: bool) -> RealServer:
    """`-> 10.0.0.7:8080   Masq    1      0          0`."""
    match = _SERVER.fullmatch(line.text)
    if match is None:
        line.wrong("expected an address, Masq, Local, Tunnel or Route, the weight and two counts of connections")
    place = _place(line, match[1], proc=proc)
    return RealServer(place=place, forward=cast("Forward", match[2]), weight=int(match[3]))


def _place(line: _Line, word: str, *, proc: bool) -> Place:
    """`10.0.0.1:80`, `[fd00::1]:80`, `host.name:https`, a name that was cut, or hexadecimal in /proc."""
    if proc:
        return _hex_place(line, word)
    if word.startswith("["):
        host, bracket, port = word[1:].partition("]")
        if not bracket or not port.startswith(":"):
            line.wrong(f"{word!r} is not `[address]:port`")
        return _named(line, host, port[1:], cut=False)
    host, colon, port = word.rpartition(":")
    if colon:
        return _named(line, host, port, cut=len(word) in _WIDTHS)
    if re.fullmatch(r"[0-9.]*", word):
        line.wrong(f"{word!r} has no port")
    return _named(line, word, None, cut=True)


def _named(line: _Line, host: str, port: str | None, *, cut: bool) -> Place:
    of_ec2, address = _EC2_NAME.match(host), None
    with suppress(ValueError):
        address = ip_address(".".join(of_ec2.groups()) if of_ec2 else host)
    is_name = of_ec2 is not None or address is None
    if is_name and not re.fullmatch(r"[A-Za-z0-9._%:-]{1,255}", host):
        line.wrong(f"{host!r} is neither an address nor a host name")
    # The last digits or letters of a cut port are gone, so what is left of it says nothing. A numeric address and
    # port of IPv4 never reach the column's width.
    number = None if port is None or (cut and is_name) else _port(line, port)
    return Place(address=address, port=number, name=host if is_name else "")


def _port(line: _Line, word: str) -> int | None:
    if word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535:
        return int(word)
    if not re.fullmatch(r"[A-Za-z0-9_+.*-]{1,64}", word) or word.isdigit():
        line.wrong(f"{word!r} is not a port")
    return _PORTS.get(word)


def _hex_place(line: _Line, word: str) -> Place:
    match = _HEX_ADDRESS.fullmatch(word)
    if match is None:
        line.wrong(f"{word!r} is not a hexadecimal address and port")
    try:
        address: Address = IPv4Address(int(match[1], 16)) if match[1] else IPv6Address(match[2])
    except ValueError:
        line.wrong(f"{word!r} is not an address")
    return Place(address=address, port=int(match[3], 16))

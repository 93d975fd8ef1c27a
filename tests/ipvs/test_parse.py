"""Listings of ipvsadm and the kernel, read into one table."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amigen.base.errors import InputError
from amigen.ipvs.model import Place, RealServer, Table, VirtualService
from amigen.ipvs.parse import parse

HEAD = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
"""
NUMERIC = (
    HEAD
    + """\
TCP  10.100.0.1:443 rr
  -> 192.168.113.81:443           Masq    1      0          0
  -> 192.168.162.166:443          Masq    1      1          0
UDP  10.100.0.10:53 lblcr persistent 10800
  -> 192.168.104.215:53           Masq    0      0          7
SCTP 10.100.0.11:9999 nq
TCP  10.100.0.12:0 sh (sh-fallback,sh-port) persistent 300 mask 255.255.255.0
  -> 10.0.0.1:0                   Route   100    0          0
  -> 10.0.0.2:0                   Tunnel  1      0          0
  -> 127.0.0.1:0                  Local   1      0          0
UDP  10.100.0.13:5060 wlc persistent 360 pe sip ops
TCP  [fd00::1]:443 sed persistent 60 mask 64
  -> [fd00::a:1]:8443             Masq    1      0          0
FWM  7 rr
  -> 10.0.0.7:0                   Masq    1      0          0
FWM  8 IPv6 wrr (flag-1,flag-2)
"""
)
RESOLVED = (
    HEAD
    + """\
TCP  ip-10-100-0-1.us-east-1. rr
  -> ip-192-168-113-81.us-eas Masq        1      0          0
  -> ip-192-168-162-166.us-ea Masq        1      1          0
TCP  ip-10-100-0-10.us-east-1 rr
  -> ip-192-168-104-215.us-ea Masq        1      0          0
UDP  ip-10-100-0-10.us-east-1 rr
  -> ip-192-168-104-215.us-ea Masq        1      0          0
"""
)
PROC = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A640001:01BB rr@
  -> C0A87151:01BB      Masq    1      0          0@
UDP  0A64000A:0035 rr ops persistent 2700000 FFFFFF00
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:01BB sed persistent 15000 40000000
  -> [fd00:0000:0000:0000:0000:000a:0000:0001]:20FB      Masq    1      0          0@
TCP  [fd00:0000:0000:0000:0000:0000:0000:0002]:01BB sed persistent 15000 80000000
FWM  0000000A wrr@
  -> 0A000007:0000      Tunnel  1      0          0@
""".replace("@", " ")  # as the kernel ends its lines


def service(listing: str, index: int) -> VirtualService:
    return parse(listing).services[index]


def test_header() -> None:
    """Size of the connection table."""
    assert parse(NUMERIC).size == 4096


def test_api_service_with_two_servers() -> None:
    """The picture that the EKS guide shows, numeric."""
    expected = VirtualService(
        protocol="TCP",
        place=Place(address=ip_address("10.100.0.1"), port=443),
        scheduler="rr",
        servers=(
            RealServer(place=Place(address=ip_address("192.168.113.81"), port=443), forward="Masq", weight=1),
            RealServer(place=Place(address=ip_address("192.168.162.166"), port=443), forward="Masq", weight=1),
        ),
    )

    assert service(NUMERIC, 0) == expected


def test_persistence_and_weight_zero() -> None:
    """A Service with session affinity, and an endpoint that is ending."""
    found = service(NUMERIC, 1)

    assert (found.protocol, found.persistent, found.ticks) == ("UDP", 10800, False)
    assert found.servers[0].weight == 0


def test_sctp_without_servers() -> None:
    """A Service without any endpoint keeps its virtual service."""
    assert (service(NUMERIC, 2).protocol, service(NUMERIC, 2).servers) == ("SCTP", ())


def test_what_other_programs_put_beside_the_entries_of_kube_proxy() -> None:
    """Flags of a scheduler, a mask, `pe sip` and `ops` are read over."""
    found = service(NUMERIC, 3)

    assert (found.scheduler, found.persistent, service(NUMERIC, 4).persistent) == ("sh", 300, 360)
    assert [server.forward for server in found.servers] == ["Route", "Tunnel", "Local"]


def test_ipv6_with_prefix() -> None:
    """Brackets, and a mask that is a prefix length."""
    found = service(NUMERIC, 5)

    assert (found.key, found.persistent) == (("TCP", ip_address("fd00::1"), 443), 60)
    assert found.servers[0].place == Place(address=ip_address("fd00::a:1"), port=8443)


def test_firewall_marks_are_of_other_programs() -> None:
    """`FWM  7 rr` and `FWM  8 IPv6 wrr` with their servers are read over."""
    assert [str(one) for one in parse(NUMERIC).services[5:]] == ["TCP [fd00::1]:443"]
    assert parse(HEAD + "FWM  -1 rr\n").services == ()


def test_resolved_names_of_ec2_become_addresses() -> None:
    """The guide's own listing: names cut at the column, ports gone, addresses still in the names."""
    found = parse(RESOLVED)

    assert [(one.protocol, str(one.place.address), one.place.port) for one in found.services if one.place] == [
        ("TCP", "10.100.0.1", None),
        ("TCP", "10.100.0.10", None),
        ("UDP", "10.100.0.10", None),
    ]
    assert str(found.services[0].servers[0].place.address) == "192.168.113.81"


def test_resolved_names_of_ports() -> None:
    """Short names keep their port, by name; a name without an address says none."""
    found = parse(HEAD + "TCP  localhost:https rr\n  -> web.test:http-alt             Masq    1      0          0\n")

    assert found.services[0].place == Place(address=None, port=443, name="localhost")
    assert found.services[0].servers[0].place == Place(address=None, port=8080, name="web.test")


def test_a_cut_port_is_no_port() -> None:
    """A name of exactly the column's width: what is left of its port means nothing."""
    place = service(HEAD + "TCP  ip-10-100-0-1.ec2.internal:4 rr\n", 0).place

    assert place is not None
    assert (place.address, place.port) == (ip_address("10.100.0.1"), None)


def test_kernel_listing() -> None:
    """/proc/net/ip_vs: hexadecimal, ticks, and IPv6 prefix lengths with their bytes swapped."""
    found = parse(PROC)

    assert [(str(one), one.scheduler, one.persistent, one.ticks) for one in found.services] == [
        ("TCP 10.100.0.1:443", "rr", None, False),
        ("UDP 10.100.0.10:53", "rr", 2700000, True),
        ("TCP [fd00::1]:443", "sed", 15000, True),
        ("TCP [fd00::2]:443", "sed", 15000, True),
    ]
    assert found.services[0].servers[0].place == Place(address=ip_address("192.168.113.81"), port=443)


def test_empty_table() -> None:
    """Only the head: ip_vs is loaded, and nobody uses it."""
    assert parse(HEAD) == Table(size=4096)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("bash: ipvsadm: command not found\n", "line 1"),
        (HEAD + "  -> 10.0.0.1:80 Masq 1 0 0\n", "line 4 of the IPVS listing: a real server without"),
        (HEAD + "TCP  10.0.0.1:80\n", "an address and a scheduler"),
        (HEAD + "TCP  10.0.0.1:80 rr frozen\n", "unknown flag 'frozen'"),
        (HEAD + "TCP  10.0.0.1 rr\n", "has no port"),
        (HEAD + "TCP  10.0.0.1:99999 rr\n", "is not a port"),
        (HEAD + "ICMP 10.0.0.1:80 rr\n", "expected TCP, UDP or SCTP"),
        (HEAD + "TCP  10.0.0.1:80 rr\n  -> 10.0.0.2:80 Masq 1\n", "line 5"),
        (HEAD + "TCP  10.0.0.1:80 rr\n  -> 10.0.0.2:80 Teleport 1 0 0\n", "expected an address, Masq"),
        ("Prot LocalAddress:Port               Conns   InPkts\n", "ipvsadm -L --stats"),
        (HEAD + "TCP  10.0.0.1:80 rr persistent\n", "the persistence timeout is not a number"),
    ],
)
def test_what_is_no_listing_is_one_clear_error(text: str, says: str) -> None:
    """The message has the line and what is wrong with it."""
    with pytest.raises(InputError) as caught:
        parse(text)

    assert says in caught.value.message


_WORDS = st.sampled_from(
    ["TCP", "UDP", "SCTP", "FWM", "->", "10.0.0.1:80", "[fd00::1]:443", "0A000001:0050", "rr", "persistent", "mask",
     "ops", "pe", "(sh-port)", "Masq", "1", "0", "-1", "FFFFFF00", "IPv6", "ip-10-0-0-1.ec2.internal:http", "²", "٣",
     "[::]:\u0661", "999999999999999999999", "ip-999-1-1-1.x:1", "Prot", "RemoteAddress:Port", "00000007", "[fe80::1%a]:1"]  # noqa: E501
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.lists(_WORDS, max_size=8).map(" ".join), max_size=8).map("\n".join)))
@example("TCP  0A000001:0050 rr persistent 1 FFFFFFFF")
@example("IP Virtual Server version 1.2.1 (size=99999999999999999999999)")
def test_no_text_makes_anything_but_our_own_error(text: str) -> None:
    """Whatever a node prints: a table, or an InputError."""
    for candidate in (text, HEAD + text):
        try:
            assert isinstance(parse(candidate), Table)
        except InputError as error:
            assert error.message  # noqa: PT017 - either outcome is right


COLOUR = "\x1b[32m"


@pytest.mark.parametrize(
    "around",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\n".join("    " + line for line in text.split("\n")),
        lambda text: "\n".join("\t" + line for line in text.split("\n")),
        lambda text: f"```console\n{text}```\n",
        lambda text: f"~~~\n{text}~~~\n",
        lambda text: f"[ec2-user@ip-10-0-0-7 ~]$ sudo ipvsadm -L -n\n{text}[ec2-user@ip-10-0-0-7 ~]$ \n",
        lambda text: f"root@node:~# cat /proc/net/ip_vs\n{text}root@node:~#",
        lambda text: f"$ ipvsadm -Ln\n{text}",
        lambda text: f"% kubectl exec -n kube-system kube-proxy-x -- ipvsadm -Ln\n{text}",
        lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
        lambda text: text.replace("TCP", f"{COLOUR}TCP\x1b[0m"),
        lambda text: text.replace("\n", "\r\n"),
    ],
)
def test_a_listing_as_people_paste_it(around: Callable[[str], str]) -> None:
    """What a terminal or an editor puts around it changes nothing."""
    assert parse(around(NUMERIC)) == parse(NUMERIC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port               Conns   InPkts\n",
            "--stats",
        ),
        (
            "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port                 CPS    InPPS\n",
            "--rate",
        ),
        ("IPVS connection entries\npro expire state       source             virtual\n", "`ipvsadm -L -c`"),
        ("Timeout (tcp tcpfin udp): 900 120 300\n", "`ipvsadm -L --timeout`"),
        ("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n", "/proc/net/ip_vs_conn"),
        ("   Total Incoming Outgoing         Incoming         Outgoing\n", "/proc/net/ip_vs_stats"),
        ("-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.0.0.9:6443 -m -w 1\n", "ipvsadm-save"),
        ("master sync daemon (mcast=eth0, syncid=0)\n", "--daemon"),
    ],
)
def test_other_outputs_are_named(text: str, says: str) -> None:
    """A person who pastes another output learns which one it is."""
    with pytest.raises(InputError, match=re.escape(says)):
        parse(text)

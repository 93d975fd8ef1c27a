"""Connections of the IPVS table against its servers."""

from __future__ import annotations

import pytest

from amigen.base.errors import InputError
from amigen.ipvs.connections import judge_connections, parse_connections
from amigen.ipvs.parse import parse

TABLE = parse("""\
TCP  10.96.0.50:80 rr
  -> 10.1.0.3:8080 Masq 1 2 0
  -> 10.1.0.4:8080 Masq 0 1 0
UDP  10.96.0.10:53 rr
  -> 10.1.0.2:53 Masq 1 0 1
TCP  [fd00::50]:80 rr
  -> [fd00:1::3]:8080 Masq 1 0 0
""")
LINES = """\
2 TCP 0A600032 0050 0A010003 1F90
5 TCP 0A600032 0050 0A010004 1F90
1 TCP fd00:0000:0000:0000:0000:0000:0000:0050 0050 fd00:0001:0000:0000:0000:0000:0000:0003 1F90
"""


def test_connections_to_real_servers() -> None:
    """Those of weight 0 are counted, and no difference."""
    found = parse_connections(LINES, 12)

    assert (found.total, found.buckets) == (8, 4096)
    judged = judge_connections(found, TABLE, expires=False)
    assert (judged.differences, judged.facts) == ([], ["8 connections, 5 of them on 1 draining servers"])


@pytest.mark.parametrize(
    ("line", "says", "why"),
    [
        ("3 UDP 0A60000A 0035 0A010009 0035", "3 connections of UDP 10.96.0.10 port 53", "expire_nodest_conn"),
        ("1 TCP 0A600032 0050 0A010009 1F90", "still go to 10.1.0.9 port 8080", "expire_nodest_conn"),
    ],
)
def test_connections_to_a_server_that_is_gone(line: str, says: str, why: str) -> None:
    """Each with what to do."""
    (found,) = judge_connections(parse_connections(LINES + line, None), TABLE, expires=False).differences

    assert says in found.says
    assert why in found.why


def test_a_table_that_is_too_full() -> None:
    """More than eight connections a bucket; a size that is not known is not judged."""
    full = "2100 TCP 0A600032 0050 0A010003 1F90"

    found = judge_connections(parse_connections(full, 8), TABLE, expires=True).differences
    assert [one.subject for one in found] == ["the connection table"]
    assert judge_connections(parse_connections(full, None), TABLE, expires=True).differences == []


def test_lines_that_the_node_did_not_print() -> None:
    """One clear error."""
    with pytest.raises(InputError, match="connections of IPVS cannot be read"):
        parse_connections("nonsense", 12)

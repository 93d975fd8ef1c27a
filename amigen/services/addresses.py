"""Addresses as kube-proxy reads and writes them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address


def read_address(text: object) -> Address | None:
    """An address as `ParseIPSloppy` of k8s.io/utils/net reads it; None where it is not one.

    Leading zeros of IPv4 are decimal, an IPv4-mapped IPv6 address is the IPv4 address, and a zone is not accepted.
    """
    if not isinstance(text, str) or "%" in text or not text.isascii():
        return None
    head, colon, tail = text.rpartition(":")
    if "." in tail:
        numbers = tail.split(".")
        if len(numbers) != 4 or not all(one.isdigit() and len(one) < 20 and int(one) < 256 for one in numbers):
            return None
        tail = ".".join(str(int(one)) for one in numbers)
    try:
        address = ip_address(head + colon + tail)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

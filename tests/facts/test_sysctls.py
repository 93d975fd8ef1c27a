"""What systemd-sysctl's own listing says of a parameter."""

from __future__ import annotations

import pytest

from amigen.facts.sysctls import set_at_boot

LISTING = """\
# /etc/sysctl.d/90-amigen.conf
# Written by amigen.
net/core/somaxconn = 4096
net/ipv4/tcp_rmem = 4096  131072\t6291456

# /usr/lib/sysctl.d/95-other.conf
#net.core.somaxconn = 1
; net.core.somaxconn = 2
-net.ipv4.conf.*.rp_filter = 2
kernel.panic=10
net.ipv4.conf.eth0/1.forwarding = 1

# /etc/sysctl.d/99-sysctl.conf
net.core.somaxconn=128
-net.ipv4.conf.all.rp_filter
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("net/core/somaxconn", ("128", "/etc/sysctl.d/99-sysctl.conf")),
        ("net/ipv4/tcp_rmem", ("4096 131072 6291456", "/etc/sysctl.d/90-amigen.conf")),
        ("net/ipv4/conf/eth0/rp_filter", ("2", "/usr/lib/sysctl.d/95-other.conf")),
        ("net/ipv4/conf/eth0.1/forwarding", ("1", "/usr/lib/sysctl.d/95-other.conf")),
        ("kernel/panic", ("10", "/usr/lib/sysctl.d/95-other.conf")),
        ("kernel/pid_max", None),
    ],
)
def test_the_last_file_that_sets_it_has_the_say(path: str, found: tuple[str, str] | None) -> None:
    """Comments do not, patterns do, and a dot of an interface's name is a slash there."""
    assert set_at_boot(LISTING, f"/proc/sys/{path}") == found

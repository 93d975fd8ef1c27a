"""Ports of 127.0.0.1 for the programs that tests start."""

from __future__ import annotations

import socket

from amigen.vm.machine import reserved_port

_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """A port that nothing else gets as long as this process runs, also where its program starts late or again."""
    _RESERVED.append(reserved_port())
    return int(_RESERVED[-1].getsockname()[1])

"""What systemd-sysctl sets at boot, of all files of sysctl.d(5)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

# Its own reader of folders, names and masks; 127 where it is not there.
CAT_SYSCTLS = (
    "for program in /usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl; do"
    ' if [ -x "$program" ]; then exec "$program" --cat-config; fi; done; exit 127'
)
_FILE = re.compile(r"# (/(?:\S+/)?sysctl(?:\.d/\S+)?\.conf)")
_SWAP = str.maketrans("./", "/.")


def set_at_boot(listing: str, path: str) -> tuple[str, str] | None:
    """The value of a path below /proc/sys that is set last, white space folded, and its file; None: no file sets it.

    A key with a pattern counts only where no key without one sets the path (sysctl.d(5)).

    Args:
        listing: What `systemd-sysctl --cat-config` prints: each file after a comment with its path.
        path: `/proc/sys/net/ipv4/ip_forward`.
    """
    file, found, explicit = "", None, False
    for line in listing.splitlines():
        if header := _FILE.fullmatch(line):
            file = header[1]
        key, equals, value = line.strip().partition("=")
        key = key.strip().removeprefix("-")
        if not equals or key.startswith(("#", ";")):
            continue
        # a.b/c is a/b.c; where the first of both is a slash, slashes separate.
        first = re.search(r"[./]", key)
        name = key.translate(_SWAP) if first and first[0] == "." else key
        exact = path == f"/proc/sys/{name}"
        if exact or (not explicit and fnmatchcase(path, f"/proc/sys/{name}")):
            found, explicit = (" ".join(value.split()), file), exact
    return found

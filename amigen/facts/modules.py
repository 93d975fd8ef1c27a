"""Kernel modules, which testinfra has no word for: loaded, built in, available for a kernel, persisted.

Commands and parsers are apart: the commands are what runs on a target, the parsers are pure. Names are compared with
`-` and `_` taken as the same, as modprobe(8) does.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

# Of a removed kernel no modules.builtin is left; templates/lib/at-boot.sh takes the same for a kernel.
LIST_KERNELS = "(cd /lib/modules && ls -d -- */modules.builtin | cut -d/ -f1) 2>/dev/null"
RUNNING_KERNEL = "cat /proc/sys/kernel/osrelease"
LOADED = "cat /proc/modules"

# What a kernel says about some modules: its lines of modules.dep and modules.builtin, and each file of those lines that
# is not there. Arguments: kernel, alternation of names. Paths in modules.dep are relative to the kernel's folder or
# absolute (modules.dep(5)). `%%` because testinfra formats commands with `%`.
LOOK_UP = (
    "kernel=%s names=%s; cd /lib/modules/$kernel || exit 3;"
    ' grep -HE "^[^:]*/($names)\\.ko(\\.[a-z0-9]+)?(:|$)" modules.dep modules.builtin 2>/dev/null |'
    ' while IFS=: read -r from line; do case $from in modules.dep) printf "dep %%s\\n" "$line";'
    ' for file in ${line%%%%:*} ${line#*:}; do [ -e "$file" ] || printf "missing %%s\\n" "$file"; done ;;'
    ' *) printf "builtin %%s\\n" "$line" ;; esac; done; true'
)

# All of modules-load.d(5), in its order of precedence; `-` is a file that is masked or cannot be read.
MODULES_LOAD_FOLDERS = (
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
)
LIST_PERSISTED = (
    f"for dir in {' '.join(MODULES_LOAD_FOLDERS)}; do for file in $dir/*.conf; do"
    ' if [ -e "$file" ] || [ -L "$file" ]; then printf "file %s\\n" "$file";'
    ' if [ -f "$file" ]; then'
    ' while IFS= read -r line || [ -n "$line" ]; do printf "line %s\\n" "$line"; done <"$file";'
    " fi; fi; done; done"
)


def normal(name: str) -> str:
    """`nf-conntrack` -> `nf_conntrack`, the form in which the kernel lists it."""
    return name.replace("-", "_")


def name_of(path: str) -> str:
    """`kernel/net/netfilter/ipvs/ip_vs.ko.zst` -> `ip_vs`."""
    return normal(re.sub(r"\.ko(\.[A-Za-z0-9]+)?$", "", posixpath.basename(path)))


def names_pattern(modules: Iterable[str]) -> str:
    """Names as an alternation for grep -E, with `-` and `_` as the same."""
    return "|".join(sorted({re.sub(r"[-_]", "[-_]", re.escape(normal(name))) for name in modules}))


def parse_loaded(proc_modules: str) -> frozenset[str]:
    """Modules that are live in /proc/modules (name, size, users, dependencies, state, address), not still loading."""
    rows = (line.split() for line in proc_modules.splitlines())
    return frozenset(normal(row[0]) for row in rows if len(row) >= 5 and row[4] == "Live")


@dataclass(frozen=True, kw_only=True)
class Availability:
    """What one kernel has of one module.

    Attributes:
        builtin: It is part of the kernel itself.
        files: The module's own file and those it depends on, as modules.dep names them.
        missing: Those of them that are not there.
    """

    builtin: bool = False
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_available(self) -> bool:
        """It can be loaded, or need not be."""
        return self.builtin or (bool(self.files) and not self.missing)


def parse_look_up(text: str, module: str) -> Availability:
    """The answer to `LOOK_UP`, for one of the modules that were asked for."""
    wanted = normal(module)
    files: tuple[str, ...] = ()
    gone: set[str] = set()
    builtin = False
    for line in text.split("\n"):
        word, _, rest = line.partition(" ")
        if word == "dep":
            own, _, others = rest.partition(":")
            if name_of(own) == wanted:
                files = (own, *others.split())
        elif word == "missing":
            gone.add(rest)
        elif word == "builtin" and name_of(rest) == wanted:
            builtin = True
    return Availability(builtin=builtin, files=files, missing=tuple(f for f in files if f in gone))


def parse_persisted(text: str) -> dict[str, str]:
    """The answer to `LIST_PERSISTED`: module -> the file that loads it at boot.

    Of files with one name only the first folder's counts, also where it is empty or a link to /dev/null; lines that
    begin with `#` or `;` are comments (modules-load.d(5)).
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    current = ""
    for line in text.split("\n"):
        word, _, rest = line.partition(" ")
        if word == "file":
            name = posixpath.basename(rest)
            current = "" if name in seen else rest
            seen.add(name)
        elif word == "line" and current:
            module = rest.strip()
            if module and module[0] not in "#;":
                found.setdefault(normal(module), current)
    return found

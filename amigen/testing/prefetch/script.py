"""The script that gathers: POSIX sh, one process for many questions where one can answer them.

Its output is a series of sections, each of which begins with a line of a random token; what a file or program of the
target prints cannot guess it, and so cannot pass for a section. The first thing it looks at are the loaded modules; the
last it does is to try schedulers, which loads them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from amigen.testing.modules import LIST_KERNELS, LIST_PERSISTED, LOADED, LOOK_UP, RUNNING_KERNEL
from amigen.testing.prefetch.wanted import Wanted
from amigen.testing.surroundings import LOOK_AROUND

# A container or chroot would make the kernel of its host load modules.
_OWN_KERNEL = '{ read -r second </proc/2/comm; } 2>/dev/null && [ "$second" = kthreadd ] && [ / -ef /proc/1/root/ ]'
_OS_RELEASE = "/etc/os-release"
# What testinfra asks before it chooses how to look at files and packages (testinfra/modules/systeminfo.py, host.py).
_SYSTEM = ("uname -s", f"cat {_OS_RELEASE}", "uname -m", "uname -r", "command -v command")
# What these say stands in a file.
_FILES_OF = {
    LOADED: "/proc/modules",
    RUNNING_KERNEL: "/proc/sys/kernel/osrelease",
    "uname -s": "/proc/sys/kernel/ostype",
    "uname -r": "/proc/sys/kernel/osrelease",
    # Since Linux 6.1.
    "uname -m": "/proc/sys/kernel/arch",
    f"cat {_OS_RELEASE}": _OS_RELEASE,
}
_PLAIN = re.compile(r"/[A-Za-z0-9/._+@-]+")
FAILED_UNITS = "systemctl list-units --failed --plain --no-legend"
_UNITS = "systemctl list-units --state=active,failed --full --plain --no-legend"
DPKG_FORMAT = "${Package}\\t${Status}\\t${Version}\\n"
RPM_FORMAT = "row\\t%{NAME}\\t%{VERSION}\\t%{RELEASE}\\t%{EVR}\\n"
STAT_FORMAT = "%a %u %U %g %G %s %F|%n"

# section NAME: begins one. literal N COMMAND: runs a command; its stdout as it comes, then its stderr, then its code.
_PRELUDE = """\
export LC_ALL=C
section() { printf '\\n%s %s\\n' "$token" "$*"; }
literal() {
  section stdout "$1"
  { errors=$({ eval "$2" >&3; } 2>&1 </dev/null); code=$?; } 3>&1
  section stderr "$1"
  printf '%s' "$errors"
  section code "$code"
}
"""


def literal_commands(wanted: Wanted) -> tuple[str, ...]:
    """The commands that are run as they are, in their order."""
    return (*_first(wanted), *_SYSTEM, *(f"cat -- {shlex.quote(path)}" for path in wanted.texts), *wanted.commands)


def _first(wanted: Wanted) -> tuple[str, ...]:
    return (LOADED, RUNNING_KERNEL, LOOK_AROUND, *((LIST_KERNELS, LIST_PERSISTED) if wanted.modules else ()))


def file_of(command: str) -> tuple[str, bool]:
    """The file whose lines a command prints, and whether that is the first line alone; empty for other commands."""
    if command in _FILES_OF:
        return _FILES_OF[command], False
    for start, first in (("cat -- ", False), ("head -n 1 ", True)):
        if command.startswith(start) and _PLAIN.fullmatch(command.removeprefix(start)):
            return command.removeprefix(start), first
    return "", False


def active_unit_of(command: str) -> str:
    """The unit that a command asks about, by its whole name; empty for other commands."""
    match = re.fullmatch(r"systemctl is-active ([A-Za-z0-9:_.@-]+\.[a-z]+)", command)
    return match[1] if match else ""


def _is_of_units(command: str) -> bool:
    return command == FAILED_UNITS or bool(active_unit_of(command))


def contents_of(wanted: Wanted) -> tuple[str, ...]:
    """The files whose lines are gathered by one process: on a small node, processes are most of what it takes."""
    files = (file_of(command)[0] for command in literal_commands(wanted))
    return tuple(dict.fromkeys(path for path in (*files, *wanted.settings) if _PLAIN.fullmatch(path)))


def attributes_of(wanted: Wanted) -> tuple[str, ...]:
    """The files that are asked for their attributes."""
    return tuple(dict.fromkeys((*wanted.files, *wanted.texts, _OS_RELEASE)))


def gather_script(wanted: Wanted, token: str) -> str:
    """The script that answers what is wanted."""
    literals = [_literal(n, command) for n, command in enumerate(literal_commands(wanted))]
    first = len(_first(wanted))
    parts = [f"token={shlex.quote(token)}\n", _PRELUDE, _contents(wanted), *literals[:first]]
    parts.append(_kernels(wanted) if wanted.modules else "")
    parts += [*_bulk(wanted), *literals[first:]]
    parts.append(_schedulers(wanted.schedulers) if wanted.schedulers else "")
    parts.append("section end\n")
    return "".join(parts)


def _literal(number: int, command: str) -> str:
    if _is_of_units(command):
        return ""
    path, _ = file_of(command)
    unless = f"[ -r {path} ] || " if path else ""
    return f"{unless}literal {number} {shlex.quote(command)}\n"


def _contents(wanted: Wanted) -> str:
    """Each line behind the name of its file. /proc/modules is the first of them."""
    paths = " ".join(contents_of(wanted))
    return f"section contents; grep -aH '' -- {paths} 2>/dev/null </dev/null; section code \"$?\"\n"


def _kernels(wanted: Wanted) -> str:
    """The look-up of all modules at once, in each kernel that is installed, and in the running one."""
    look_up = LOOK_UP % ('"$kernel"', shlex.quote(wanted.module_names))
    running = f"{{ read -r running <{_FILES_OF[RUNNING_KERNEL]}; }} 2>/dev/null"
    return (
        "running=''; seen=' '\n"
        f'for kernel in $({LIST_KERNELS}; {running}; echo "$running"); do\n'
        '  case $seen in *" $kernel "*) continue ;; esac\n'
        '  seen="$seen$kernel "\n'
        '  section kernel "$kernel"\n'
        f"  ( {look_up} ) 2>/dev/null\n"
        '  section code "$?"\n'
        "done\n"
    )


def _bulk(wanted: Wanted) -> Iterator[str]:
    packages, files = (
        " ".join(shlex.quote(value) for value in values) for values in (wanted.packages, attributes_of(wanted))
    )
    if packages:
        for tool, query in (
            ("dpkg-query", f"dpkg-query -f {shlex.quote(DPKG_FORMAT)} -W -- {packages}"),
            ("rpm", f"rpm -q --qf {shlex.quote(RPM_FORMAT)} -- {packages}"),
        ):
            yield (
                f"if command -v {tool} >/dev/null 2>&1; then section {tool}; {query} 2>/dev/null </dev/null;"
                ' section code "$?"; fi\n'
            )
    yield f'section stat; stat -Lc {shlex.quote(STAT_FORMAT)} -- {files} 2>/dev/null; section code "$?"\n'
    if wanted.files:
        paths = " ".join(shlex.quote(path) for path in wanted.files)
        yield f'section sha256sum; sha256sum -- {paths} 2>/dev/null </dev/null; section code "$?"\n'
    if any(_is_of_units(command) for command in wanted.commands):
        yield f'section units; {_UNITS} 2>/dev/null </dev/null; section code "$?"\n'


def _schedulers(schedulers: Iterable[str]) -> str:
    """Each on a port of its own, all in one network namespace that ends with the shell in it.

    One process tries them all; of those that are not in the kernel's table then, each is asked for its error.
    """
    inner = (
        'port=0; for scheduler in "$@"; do port=$((port + 1));'
        ' printf "%s\\n" "-A -t 127.0.0.1:$port -s $scheduler"; done'
        " | ipvsadm -R >/dev/null 2>&1; taken=' ';"
        ' { while read -r protocol _ name _; do [ "$protocol" != TCP ] || taken="$taken$name "; done; }'
        " </proc/net/ip_vs 2>/dev/null;"
        ' port=0; for scheduler in "$@"; do port=$((port + 1));'
        ' case $taken in *" $scheduler "*) printf "%s 0 \\n" "$scheduler"; continue ;; esac;'
        ' errors=$(ipvsadm -A -t "127.0.0.1:$port" -s "$scheduler" 2>&1); code=$?;'
        # Where all is well, no process is spent on words.
        ' [ -z "$errors" ] || errors=$(printf "%s" "$errors" | tr "\\n" " ");'
        ' printf "%s %s %s\\n" "$scheduler" "$code" "$errors"; done'
    )
    names = " ".join(shlex.quote(name) for name in schedulers)
    return (
        f"if {_OWN_KERNEL}; then section schedulers;"
        f' unshare -n sh -c {shlex.quote(inner)} sh {names} 2>/dev/null </dev/null; section code "$?"; fi\n'
    )

"""The script that gathers: POSIX sh, one process for many questions where one process can answer them.

Its output is a series of sections, each of which begins with a line of a random token: what a file or program of the
target prints cannot guess it, and so cannot pass for a section. The loaded modules are read first. The schedulers are
tried last, because that loads modules.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from amigen.base.shipped import shell_library
from amigen.facts.modules import LIST_KERNELS, LIST_PERSISTED, LOADED, LOOK_UP, RUNNING_KERNEL, names_pattern
from amigen.facts.surroundings import LOOK_AROUND, RUNS_SYSTEMD
from amigen.facts.wanted import Wanted

# A container or chroot would make the kernel of its host load modules.
_OWN_KERNEL = '{ read -r second </proc/2/comm; } 2>/dev/null && [ "$second" = kthreadd ] && [ / -ef /proc/1/root/ ]'
DPKG_FORMAT = "${Package}\\t${Status}\\t${Version}\\n"
RPM_FORMAT = "row\\t%{NAME}\\t%{EVR}\\n"
STAT_FORMAT = "%a %u %U %g %G %s %F|%n"
# section NAME: begins one. literal NAME N COMMAND: runs a command; its stdout, then its stderr, then its code.
# SYSTEMD_OFFLINE (systemd, docs/ENVIRONMENT.md) makes systemctl answer from files. In a chroot it does so by itself
# only where /proc is mounted and /run/systemd/system is missing.
_PRELUDE = """\
export LC_ALL=C
offline=''
{ [ -d /run/systemd/system ] && [ / -ef /proc/1/root/ ] && RUNS_SYSTEMD; } || offline='env SYSTEMD_OFFLINE=1'
section() { printf '\\n%s %s\\n' "$token" "$*"; }
literal() {
  section "$1" "$2"
  { errors=$({ eval "$3" >&3; } 2>&1 </dev/null); code=$?; } 3>&1
  section stderr
  printf '%s' "$errors"
  section code "$code"
}
"""


def gather_script(wanted: Wanted, token: str) -> str:
    """The script that prints what is wanted; nothing on the target can guess the token of letters and digits."""
    parts = [
        f"token={shlex.quote(token)}\n",
        _PRELUDE.replace("RUNS_SYSTEMD", RUNS_SYSTEMD),
        _literal("loaded", 0, LOADED),
        _literal("kernel", 0, RUNNING_KERNEL),
        _literal("surroundings", 0, LOOK_AROUND),
        *(_modules(wanted) if wanted.modules else ()),
        *_bulk(wanted),
        *_units(wanted.units),
        *(_literal("command", number, command) for number, command in enumerate(wanted.commands)),
        _schedulers(wanted.schedulers) if wanted.schedulers else "",
        "section end\n",
    ]
    return "".join(parts)


def _literal(section: str, number: int, command: str) -> str:
    return f"literal {section} {number} {shlex.quote(command)}\n"


def _modules(wanted: Wanted) -> Iterator[str]:
    """All modules at once in each installed kernel and in the running one, and what modprobe.d says of them."""
    names = names_pattern(wanted.modules)
    yield "section bits; cat /sys/module/ip_vs/parameters/conn_tab_bits 2>/dev/null; section code 0\n"
    yield shell_library("at-boot.sh") + shell_library("table-at-boot.sh")
    yield _literal("kernels", 0, LIST_KERNELS)
    yield _literal("persisted", 0, LIST_PERSISTED)
    yield f"section obstacles; skipped {shlex.quote(names)} 2>/dev/null </dev/null; section code 0\n"
    yield "section options; table_at_boot </dev/null; section code 0\n"
    look_up = LOOK_UP % ('"$kernel"', shlex.quote(names))
    yield (
        "running=''; seen=' '\n"
        "{ read -r running </proc/sys/kernel/osrelease; } 2>/dev/null\n"
        f'for kernel in $( {LIST_KERNELS}; echo "$running"); do\n'
        '  case $seen in *" $kernel "*) continue ;; esac\n'
        '  seen="$seen$kernel "\n'
        '  section modules "$kernel"\n'
        f"  ( {look_up} ) 2>/dev/null\n"
        '  section code "$?"\n'
        "done\n"
    )
    yield (
        f"section sysfs; for module in {_words(name.replace('-', '_') for name in wanted.modules)}; do"
        ' [ ! -d "/sys/module/$module" ] || printf "%s\\n" "$module"; done;'
        " section code 0\n"
    )


def _bulk(wanted: Wanted) -> Iterator[str]:
    packages, files = (_words(values) for values in (wanted.packages, dict.fromkeys((*wanted.files, *wanted.texts))))
    if packages:
        # Amazon Linux may have dpkg, too, and Debian rpm: os-release(5) says whose packages make the system.
        yield (
            'manager=dpkg-query; case " $( . /etc/os-release && echo "${ID-} ${ID_LIKE-}" ) " in'
            " *' debian '* | *' ubuntu '*) ;; *) ! command -v rpm >/dev/null 2>&1 || manager=rpm ;; esac 2>/dev/null\n"
            'if command -v "$manager" >/dev/null 2>&1; then section "$manager"; {\n'
            'if [ "$manager" = rpm ]; then\n'
            f"rpm -q --qf {shlex.quote(RPM_FORMAT)} -- {packages}\n"
            f"else dpkg-query -f {shlex.quote(DPKG_FORMAT)} -W -- {packages}\nfi\n"
            '} 2>/dev/null </dev/null; section code "$?"; fi\n'
        )
    if files:
        yield f'section stat; stat -Lc {shlex.quote(STAT_FORMAT)} -- {files} 2>/dev/null; section code "$?"\n'
    if wanted.files:
        yield f'section sha256sum; sha256sum -- {_words(wanted.files)} 2>/dev/null </dev/null; section code "$?"\n'
    for number, path in enumerate(wanted.texts):
        quoted = shlex.quote(path)
        yield f"[ ! -r {quoted} ] || {{ section text {number}; cat -- {quoted} 2>/dev/null; section code 0; }}\n"
    if wanted.settings:
        yield f"section settings; grep -aH '' -- {_words(wanted.settings)} 2>/dev/null </dev/null; section code 0\n"


def _units(units: tuple[str, ...]) -> Iterator[str]:
    """States of some units, and all that failed."""
    listed = "systemctl list-units --full --plain --no-legend"
    if units:
        yield f'section active; {listed} --all -- {_words(units)} 2>/dev/null </dev/null; section code "$?"\n'
        yield f'section failed; {listed} --failed 2>/dev/null </dev/null; section code "$?"\n'
    for number, unit in enumerate(units):
        yield _literal("enabled", number, f"$offline systemctl is-enabled -- {shlex.quote(unit)}")


def _words(values: Iterable[str]) -> str:
    return " ".join(shlex.quote(value) for value in values)


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

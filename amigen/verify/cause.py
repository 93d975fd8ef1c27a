"""Causes of a red report: which failed checks explain the others, and what the node itself says about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from amigen.facts.modules import names_pattern
from amigen.verify.report import Cause, Result, alike, one_line

# One line `KEY TEXT` for each thing that could be a cause; `{names}` is a pattern of the plan's modules.
EVIDENCE = r"""
sed -n 's/^amigen: FAILED: /bootstrap /p' /var/log/cloud-init-output.log 2>/dev/null | tail -n 1
journalctl -b -o cat -u amigen-ready 2>/dev/null |
  sed -n 's/^amigen-ready: this node is NOT ready: /gate /p' | tail -n 1
tr ' ' '\n' </proc/cmdline | grep -E '^(module_blacklist|modprobe.blacklist)=' | sed 's/^/cmdline /'
for dir in /etc /run /usr/local/lib /usr/lib /lib; do
  grep -HE '^[[:space:]]*(blacklist|install)[[:space:]]+({names})([[:space:]]|$)' "$dir"/modprobe.d/*.conf 2>/dev/null
done | sort -u | sed 's/^/modprobe /'
if [ "$(cat /proc/sys/kernel/modules_disabled 2>/dev/null)" = 1 ]; then echo 'locked kernel.modules_disabled is 1'; fi
systemctl list-unit-files --state=masked,masked-runtime --no-legend --plain 2>/dev/null | sed 's/^/masked /'
"""

# Check -> its place in the chain of causes: what fails may explain what fails further down, on the same target.
_CHAIN = (
    ("test_release",),
    ("test_package", "test_module_in_every_kernel", "test_kernel_version"),
    ("test_file", "test_hook", "test_command"),
    ("test_module_persisted", "test_unit_enabled"),
    ("test_module_loaded", "test_sysctl"),
    ("test_connection_table", "test_scheduler"),
    ("test_unit_active",),
    ("test_no_failed_unit", "test_cloud_init", "test_cloud_init_once", "test_joined"),
    ("test_user_data",),
)
_RANK = {test: rank for rank, tests in enumerate(_CHAIN) for test in tests}
_INDEPENDENT = len(_CHAIN)
_LOADED, _FILE = _RANK["test_module_loaded"], _RANK["test_file"]


class _Line(Struct, frozen=True):
    """What a target said of itself.

    Attributes:
        rank: It explains failed checks from this rank on.
        subject: Only those whose id names this; empty: all.
        place: What a check of files that found the same names: it is explained whatever its rank.
        weak: It only repeats what a cause before it explains.
    """

    text: str
    todo: str
    rank: int = _LOADED
    subject: str = ""
    place: str = ""
    weak: bool = False

    def explains(self, result: Result) -> bool:
        """Whether a failed check follows from it."""
        same = bool(self.place) and self.place in result.found
        return same or (self.rank <= _rank(result) < _INDEPENDENT and self.subject in result.id)


def causes_of(results: Iterable[Result], evidence: str = "") -> tuple[Cause, ...]:
    """The causes of what failed, the most likely first.

    Args:
        results: In the order in which they were made.
        evidence: What `evidence_script` printed on the target.
    """
    failed = [result for result in results if result.outcome == "failed"]
    first = min(map(_rank, failed), default=_INDEPENDENT)
    lines = [line for line in map(_read, dict.fromkeys(evidence.splitlines())) if line]
    strong = [line for line in lines if not line.weak and any(map(line.explains, failed))]
    roots = [r for r in failed if _rank(r) == first < _INDEPENDENT and not any(line.explains(r) for line in strong)]
    weak = (
        [] if strong or first < _LOADED else [line for line in lines if line.weak and any(map(line.explains, failed))]
    )
    said = [Cause(text=line.text, todo=line.todo) for line in (*strong, *weak[:1])]
    independent = [r for r in failed if _rank(r) == _INDEPENDENT]
    own = [*map(_from_results, _once(roots))]
    chain = [*own, *said] if first < _LOADED else [*said, *(own if not said else [])]
    return (*chain, *map(_from_results, _once(independent)))


def evidence_script(modules: Iterable[str]) -> str:
    """A shell script that prints what a target says about why a check failed on it."""
    return EVIDENCE.replace("{names}", names_pattern(modules) or "-")


def _rank(result: Result) -> int:
    return _INDEPENDENT if result.own else _RANK.get(result.id.partition("[")[0], _INDEPENDENT)


def _once(results: Sequence[Result]) -> list[list[Result]]:
    """Alike results together, each check once: what one phase found, the next ones find again."""
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.id, result)
    return alike(first.values())


def _from_results(group: Sequence[Result]) -> Cause:
    first = group[0]
    found = one_line(first.found)
    more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
    checks = tuple(result.id for result in group)
    if first.id.startswith("test_release["):
        todo = "run amigen build, or verify it with the spec and the state of it that it was made from"
        return Cause(text=f"not built by amigen from this spec: {found}", todo=todo, checks=checks)
    text = f"expected {one_line(first.expected) or f'{first.id} to pass'}{more}; found {found}"
    return Cause(text=text, todo=one_line(first.todo), checks=checks)


def _read(line: str) -> _Line | None:
    key, _, text = line.partition(" ")
    if key == "modprobe":
        place, _, rule = text.partition(":")
        return _Line(
            f"{place} keeps a module from being loaded: {one_line(rule)!r}",
            "remove that line (modprobe NAME ignores a blacklist, the next boot does not)",
            place=place,
        )
    if key == "cmdline":
        return _Line(
            f"the kernel command line keeps modules from being loaded: {text}",
            "remove it from the boot loader",
            place=text,
        )
    if key == "locked":
        return _Line(f"the kernel loads no more modules: {text}", "remove the setting from sysctl.d, and boot again")
    if key == "masked":
        unit = text.split()[0] if text.split() else ""
        return _Line(f"{unit} is masked", f"systemctl unmask {unit}", rank=_FILE, subject=unit) if unit else None
    if key == "bootstrap":
        return _Line(f"the bootstrap failed: {text}", "see /var/log/cloud-init-output.log", weak=True)
    if key == "gate":
        return _Line(f"the gate is closed: {text}", "journalctl -b -u amigen-ready", weak=True)
    return None

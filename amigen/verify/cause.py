"""Causes of a red report: which failed checks explain the others, and what the node itself says about it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from msgspec import Struct

from amigen.base.shipped import shell_library
from amigen.checks import BY_TEST
from amigen.checks.model import Level
from amigen.facts.modules import names_pattern
from amigen.verify.report import Cause, Result, alike, one_line

# One line `KEY TEXT` for each thing that could be a cause; `{names}` is a pattern of the plan's modules.
EVIDENCE = (
    shell_library("at-boot.sh")
    + r"""
sed -n 's/^amigen: FAILED: /bootstrap /p' /var/log/cloud-init-output.log 2>/dev/null | tail -n 1
journalctl -b -o cat -u amigen-ready 2>/dev/null |
  sed -n 's/^amigen-ready: this node is NOT ready: /gate /p' | tail -n 1
skipped {names} | grep -v ' is masked$' | sed 's/^/skipped /'
if [ "$(cat /proc/sys/kernel/modules_disabled 2>/dev/null)" = 1 ]; then
  echo 'locked kernel.modules_disabled is 1'
else
  journalctl -b -o cat -u systemd-modules-load 2>/dev/null |
    sed -n "s/^Failed to insert module '\([^']*\)'/refused \1/p"
fi
systemctl list-unit-files --state=masked,masked-runtime --no-legend --plain 2>/dev/null | sed 's/^/masked /'
"""
)

OTHER_SYSTEM = "verify it with the spec and the --platform that it was made from"


class _Line(Struct, frozen=True):
    """What a target said of itself.

    Attributes:
        level: It explains failed checks from this level on.
        subject: Only those whose id names this; empty: all.
        place: What a check of files that found the same names: it is explained whatever its level.
        weak: It only repeats what a cause before it explains.
    """

    text: str
    todo: str
    level: Level = Level.KERNEL
    subject: str = ""
    place: str = ""
    weak: bool = False

    def explains(self, result: Result) -> bool:
        """Whether a failed check follows from it."""
        same = bool(self.place) and self.place in result.found
        return same or (self.level <= _level(result) < Level.INDEPENDENT and self.subject in result.id)


def causes_of(results: Iterable[Result], evidence: str = "") -> tuple[Cause, ...]:
    """The causes of what failed, the most likely first.

    Args:
        results: In the order in which they were made.
        evidence: What `evidence_script` printed on the target.
    """
    failed = [result for result in results if result.outcome == "failed"]
    first = min(map(_level, failed), default=Level.INDEPENDENT)
    lines = [line for line in map(_read, dict.fromkeys(evidence.splitlines())) if line]
    strong = [line for line in lines if not line.weak and any(map(line.explains, failed))]
    chained = [result for result in failed if _level(result) == first < Level.INDEPENDENT]
    roots = [result for result in chained if not any(line.explains(result) for line in strong)]
    wanted = not strong and first >= Level.KERNEL
    weak = [line for line in lines if wanted and line.weak and any(map(line.explains, failed))]
    said = [Cause(text=line.text, todo=line.todo) for line in (*strong, *weak[:1])]
    independent = [r for r in failed if _level(r) == Level.INDEPENDENT]
    own = [*map(_from_results, _once(roots))]
    chain = [*own, *said] if first < Level.KERNEL else [*said, *(own if not said else [])]
    return (*chain, *map(_from_results, _once(independent)))


def evidence_script(modules: Iterable[str]) -> str:
    """A shell script that prints what a target says about why a check failed on it."""
    return EVIDENCE.replace("{names}", shlex.quote(names_pattern(modules) or "-"))


def _level(result: Result) -> Level:
    test = result.id.partition("[")[0]
    if result.own or test not in BY_TEST:
        return Level.USER_DATA if test == "test_user_data" else Level.INDEPENDENT
    return BY_TEST[test].level


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
    kind = BY_TEST.get(first.id.partition("[")[0])
    if kind is not None and kind.headline:
        return Cause(text=f"{kind.headline}: {found}", todo=kind.todo, checks=checks)
    text = f"expected {one_line(first.expected) or f'{first.id} to pass'}{more}; found {found}"
    return Cause(text=text, todo=one_line(first.todo), checks=checks)


def _read(line: str) -> _Line | None:
    key, _, text = line.partition(" ")
    if key == "skipped":
        place, _, rule = text.rpartition(":")
        if place.startswith("/proc/cmdline"):
            rule = f"the kernel command line keeps modules from being loaded: {one_line(rule)}"
            return _Line(rule, "remove it from the boot loader", place=text)
        return _Line(
            f"{place} keeps a module from being loaded: {one_line(rule)!r}",
            "remove that line (modprobe NAME ignores a blacklist, the next boot does not)",
            place=text,
        )
    if key == "system":
        return _Line(text, OTHER_SYSTEM, level=Level.IDENTITY)
    if key == "locked":
        return _Line(
            f"the kernel loads no more modules: {text}", "find what sets it (often a file in sysctl.d), and boot again"
        )
    if key == "refused":
        module = text.partition(":")[0]
        todo = "with Secure Boot, sign it with a key that the machine knows" if "Key" in text else f"modprobe {module}"
        return _Line(f"the kernel refuses the module {text}", todo, subject=module)
    if key == "masked":
        unit = text.split()[0] if text.split() else ""
        return _Line(f"{unit} is masked", f"systemctl unmask {unit}", level=Level.FILES, subject=unit) if unit else None
    if key == "bootstrap":
        return _Line(f"the bootstrap failed: {text}", "see /var/log/cloud-init-output.log", weak=True)
    if key == "gate":
        return _Line(f"the gate is closed: {text}", "journalctl -b -u amigen-ready", weak=True)
    return None

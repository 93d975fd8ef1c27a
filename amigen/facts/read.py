"""The gathered output, read into `Facts`. What a target prints is not trusted to be well-formed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from amigen.facts.model import Answer, Facts, File
from amigen.facts.modules import normal, parse_loaded, parse_look_up, parse_persisted
from amigen.facts.surroundings import Surroundings, parse_surroundings
from amigen.facts.wanted import Wanted

T = TypeVar("T")


class GatherError(Exception):
    """The output is not that of a script which ran to its end."""


def read_facts(wanted: Wanted, output: bytes, token: str) -> Facts:
    """The facts in what the script for `wanted` and `token` printed.

    Raises:
        GatherError: The output is not that of the script, or was cut short.
    """
    said = _answers(output, token)

    def one(name: str) -> str:
        return said[name][0][1].stdout if said[name] else ""

    enabled = {number: answer.stdout.strip() or answer.stderr.strip() for number, answer in said["enabled"]}
    active_said = said["active"][0][1] if said["active"] else Answer(code=1)
    failed_said = said["failed"][0][1] if said["failed"] else Answer(code=1)
    states = {row[0]: row[2] for row in map(str.split, _lines(active_said.stdout)) if len(row) > 2}
    surroundings = parse_surroundings(one("surroundings"))
    boot = {name: _of_this_machine(_lines(one(name)), surroundings) for name in ("obstacles", "options")}
    return Facts(
        surroundings=surroundings,
        kernel=one("kernel").strip(),
        loaded=parse_loaded(one("loaded")),
        kernels=tuple(sorted(one("kernels").split())),
        modules={
            kernel: {normal(name): parse_look_up(answer.stdout, name) for name in wanted.modules}
            for kernel, answer in said["modules"]
            if answer.code == 0
        },
        persisted=parse_persisted(one("persisted")),
        obstacles=_obstacles(wanted, boot["obstacles"]),
        option_settings=tuple(filter(None, boot["options"])),
        packages=_packages(wanted, said),
        files=_files(one("stat"), one("sha256sum")),
        texts=dict(_numbered(wanted.texts, said["text"], lambda answer: answer.stdout)),
        settings=_settings(wanted, one("settings")),
        commands=dict(_numbered(wanted.commands, said["command"], lambda answer: answer)),
        enabled=dict(zip(wanted.units, (enabled.get(str(n), "") for n in range(len(wanted.units))), strict=True)),
        active={unit: states.get(unit, "inactive") for unit in wanted.units if active_said.code == 0},
        failed=tuple(filter(None, _lines(failed_said.stdout))) if failed_said.code == 0 else None,
        connection_table_bits=int(bits) if (bits := one("bits").strip()).isdecimal() else None,
        schedulers=_schedulers(wanted, one("schedulers")),
        builtin_without_files=frozenset(one("sysfs").split()),
    )


def _answers(output: bytes, token: str) -> dict[str, list[tuple[str, Answer]]]:
    """Name of a section -> the rest of its line, and what was printed in it.

    A section with the exit code follows each, and before it one with the stderr of a command that is run as it is. What
    is printed before the first section (banners, messages of the day) is left out.
    """
    # The first mark may be at the very beginning, where no line ends before it.
    parts = (b"\n" + output).split(b"\n" + token.encode() + b" ")[1:]
    if not parts:
        raise GatherError("the target printed no output of the script")
    sections = [_section(part) for part in parts]
    if sections[-1][0] != "end":
        raise GatherError(f"the script was cut short after the section {sections[-1][0]}")
    said: dict[str, list[tuple[str, Answer]]] = defaultdict(list)
    queue = iter(sections[:-1])
    for name, rest, stdout in queue:
        after, code, stderr = next(queue, ("", "", ""))
        if after == "stderr":
            after, code, _ = next(queue, ("", "", ""))
        if after != "code" or not re.fullmatch(r"[0-9]{1,3}", code):
            raise GatherError(f"the section {name} has no exit code")
        said[name].append((rest, Answer(code=int(code), stdout=stdout, stderr=stderr)))
    return said


def _section(part: bytes) -> tuple[str, str, str]:
    """First word and rest of its line, and its body."""
    line, _, body = part.partition(b"\n")
    name, _, rest = line.decode("ascii", "replace").partition(" ")
    return name, rest, body.decode("utf-8", "surrogateescape")


def _lines(text: str) -> list[str]:
    """Lines by the line feed alone: names of files may have what else Python takes for a line end."""
    return text.removesuffix("\n").split("\n")


def _numbered(
    asked: Sequence[str], answers: list[tuple[str, Answer]], value: Callable[[Answer], T]
) -> Iterator[tuple[str, T]]:
    for number, answer in answers:
        if not number.isdigit() or int(number) >= len(asked):
            raise GatherError(f"nothing that was asked has the number {number[:40]}")
        yield asked[int(number)], value(answer)


def _of_this_machine(lines: list[str], surroundings: Surroundings) -> list[str]:
    """Without what a container or chroot sees of the command line of its host."""
    own = not surroundings.lacks("kernel")
    return [line for line in lines if own or not line.startswith("/proc/cmdline")]


def _obstacles(wanted: Wanted, lines: list[str]) -> dict[str, str]:
    """Module -> the line of `skipped` (templates/lib/at-boot.sh) that names it, or that is about all."""
    found: dict[str, str] = {}
    for line in lines:
        named = re.search(r"(?:(?:blacklist|install)\s+|blacklist=)(\S+)", line)
        skipped = named[1].split(",") if named else wanted.modules if "masked" in line else ()
        for name in {*map(normal, skipped)} & {*map(normal, wanted.modules)}:
            found.setdefault(name, line)
    return found


def _packages(wanted: Wanted, said: dict[str, list[tuple[str, Answer]]]) -> dict[str, tuple[str, ...]]:
    """Versions, of a package that is not installed none; a package that no package manager told of is left out.

    One package manager answered: the script chose it.
    """
    found: dict[str, tuple[str, ...]] = {}
    for _, answer in said["dpkg-query"]:
        # It ends with 1 where it does not know a package; with another code it did not look (dpkg-query(1)).
        if answer.code in (0, 1):
            rows = [line.split("\t") for line in _lines(answer.stdout)]
            for name in wanted.packages:
                mine = (row for row in rows if len(row) == 3 and row[0] == name)
                found[name] = tuple(row[2] for row in mine if row[1].endswith(" ok installed"))
    for _, answer in said["rpm"]:
        lines = _lines(answer.stdout)
        rows = [line.split("\t") for line in lines]
        for name in wanted.packages:
            versions = tuple(row[2] for row in rows if len(row) == 3 and row[:2] == ["row", name])
            if versions or f"package {name} is not installed" in lines:
                found[name] = versions
    return found


# Files by `STAT_FORMAT` and sha256sum(1), which escapes backslashes in a name and says so by one before the line.
_STAT_ROW = re.compile(r"^([0-7]{1,4}) (\S+) (\S+) (\S+) (\S+) ([0-9]{1,18}) ([^|\n]*)\|(.*)$", re.MULTILINE)
_SUM_ROW = re.compile(r"^(\\?)([0-9a-f]{64}) [ *](.+)$", re.MULTILINE)


def _files(stat: str, sums: str) -> dict[str, File]:
    digests = {row[3].replace("\\\\", "\\") if row[1] else row[3]: row[2] for row in _SUM_ROW.finditer(sums)}
    found = {}
    for row in _STAT_ROW.finditer(stat):
        mode, uid, user, gid, group, size, kind, path = row.groups()
        found[path] = File(
            mode=mode.zfill(4),
            uid=uid,
            user=user,
            gid=gid,
            group=group,
            size=int(size),
            kind=kind,
            sha256=digests.get(path, ""),
        )
    return found


def _settings(wanted: Wanted, text: str) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in _lines(text):
        path, colon, value = line.partition(":")
        if colon and path in wanted.settings:
            found[path].append(value)
    return {path: "\n".join(lines) for path, lines in found.items()}


def _schedulers(wanted: Wanted, text: str) -> dict[str, Answer]:
    found = {}
    for line in _lines(text):
        name, _, rest = line.partition(" ")
        code, _, said = rest.partition(" ")
        if name in wanted.schedulers and re.fullmatch(r"[0-9]{1,3}", code):
            found[name] = Answer(code=int(code), stderr=said)
    return found

"""What was gathered, as the answers to testinfra's own commands.

The commands are those of pytest-testinfra 10 (testinfra/modules/file.py, package.py). One that is not among the answers
goes to the host, so that what is not certain is left out here.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from amigen.testing.modules import LOOK_UP, name_of, names_pattern, normal
from amigen.testing.prefetch.script import (
    FAILED_UNITS,
    active_unit_of,
    attributes_of,
    contents_of,
    file_of,
    literal_commands,
)
from amigen.testing.prefetch.sections import GatherError, Section, code_of, split_sections
from amigen.testing.prefetch.wanted import Wanted

SCHEDULER_COMMAND = "unshare -n ipvsadm -A -t 127.0.0.1:80 -s %s"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command did."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""


def answers(wanted: Wanted, output: bytes, token: str) -> dict[str, Answer]:
    """Command -> answer.

    Raises:
        GatherError: The output is not that of the script for `wanted`, or was cut short.
    """
    sections = split_sections(output, token)
    literals = literal_commands(wanted)
    found: dict[str, Answer] = {}
    attributes = next((_attributes(section) for section in sections if section.name == "stat"), {})
    for section, code, stderr in _coded(sections):
        if section.name == "stdout":
            number = int(section.rest) if section.rest.isdigit() else len(literals)
            if number >= len(literals):
                raise GatherError(f"no command has the number {section.rest[:40]}")
            found[literals[number]] = Answer(code=code, stdout=section.body, stderr=stderr)
        elif section.name == "contents":
            found.update(_contents(wanted, section, attributes))
        elif section.name in _READERS:
            found.update(_READERS[section.name](wanted, section, code))
        else:
            raise GatherError(f"an unknown section {section.name[:40]}")
    return found


def _coded(sections: list[Section]) -> Iterator[tuple[Section, int, bytes]]:
    """Each section with its exit code and, for commands that are run as they are, its stderr."""
    queue = iter(sections)
    for section in queue:
        after = next(queue, None)
        stderr = b""
        if after is not None and after.name == "stderr":
            stderr, after = after.body, next(queue, None)
        if after is None or after.name != "code":
            raise GatherError(f"the section {section.name} has no exit code")
        yield section, code_of(after.rest), stderr


def _lines(body: bytes) -> list[str]:
    """Lines by the line feed alone: names of files may have what else Python takes for a line end."""
    return body.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _kernel(wanted: Wanted, section: Section, code: int) -> Iterator[tuple[str, Answer]]:
    """The look-up of many modules in one kernel, as the look-ups of each."""
    lines = _lines(section.body)
    of_module: dict[str, list[str]] = defaultdict(list)
    missing = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "missing":
            missing.append(line)
        elif word in ("dep", "builtin"):
            of_module[name_of(rest.partition(":")[0])].append(line)
    for module in wanted.modules:
        command = LOOK_UP % (shlex.quote(section.rest), shlex.quote(names_pattern([module])))
        body = "".join(f"{line}\n" for line in (*of_module[normal(module)], *missing))
        yield command, Answer(code=code, stdout=_bytes(body))


def _dpkg(wanted: Wanted, section: Section, code: int) -> Iterator[tuple[str, Answer]]:
    """dpkg-query ends with 1 where it knows no such package; with any other code it has not looked."""
    if code not in (0, 1):
        return
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in _lines(section.body):
        fields = line.split("\t")
        if len(fields) == 3:
            rows[fields[0]].append((fields[1], fields[2]))
    for name in _plain(wanted.packages):
        code = 0 if rows[name] else 1
        quoted = shlex.quote(name)
        status, both = ("".join(parts) for parts in (_status(rows[name]), (f"{s} {v}" for s, v in rows[name])))
        yield f"dpkg-query -f '${{Status}}' -W {quoted}", Answer(code=code, stdout=_bytes(status))
        yield f"dpkg-query -f '${{Status}} ${{Version}}' -W {quoted}", Answer(code=code, stdout=_bytes(both))


def _status(rows: list[tuple[str, str]]) -> Iterator[str]:
    return (status for status, _version in rows)


def _rpm(wanted: Wanted, section: Section, _code: int) -> Iterator[tuple[str, Answer]]:
    rows: dict[str, list[list[str]]] = defaultdict(list)
    lines = _lines(section.body)
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 5 and fields[0] == "row":
            rows[fields[1]].append(fields[2:])
    for name in _plain(wanted.packages):
        quoted = shlex.quote(name)
        there = bool(rows[name])
        if not there and f"package {name} is not installed" not in lines:
            continue
        yield f"rpm -q --quiet {quoted} 2>&1", Answer(code=0 if there else 1)
        for column, query in enumerate(
            ('--queryformat="%{VERSION}"', '--queryformat="%{RELEASE}"', "--qf '%{EVR}\\n'")
        ):
            end = "\n" if column == 2 else ""
            said = "".join(f"{row[column]}{end}" for row in rows[name]) or f"package {name} is not installed\n"
            yield f"rpm -q {query} {quoted}", Answer(code=0 if there else 1, stdout=_bytes(said))


def _plain(names: tuple[str, ...]) -> Iterator[str]:
    """Patterns and architectures are left to the host."""
    return (name for name in names if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", name))


def _contents(wanted: Wanted, section: Section, attributes: dict[str, list[str]]) -> Iterator[tuple[str, Answer]]:
    """Lines behind the names of their files, as what prints the files; of one that has changed meanwhile, nothing."""
    lines: dict[str, list[bytes]] = {path: [] for path in contents_of(wanted)}
    for raw in section.body.removesuffix(b"\n").split(b"\n"):
        name, _, line = raw.partition(b":")
        lines.get(name.decode("ascii", "replace"), []).append(line)
    found = {}
    for path, theirs in lines.items():
        content = b"".join(line + b"\n" for line in theirs)
        if not path.startswith(("/proc/", "/sys/")):
            # Of the size, grep's line end behind a last line that has none is told.
            fields = attributes.get(path)
            size = int(fields[5]) if fields else -1
            content = content[:-1] if len(content) == size + 1 else content
            if len(content) != size:
                continue
        elif not theirs:
            continue
        found[path] = content
    for command in literal_commands(wanted):
        path, first = file_of(command)
        if path in found:
            whole = found[path]
            yield command, Answer(code=0, stdout=b"".join(whole.partition(b"\n")[:2]) if first else whole)
    for path in wanted.settings:
        if path in found:
            yield f"cat {shlex.quote(path)}", Answer(code=0, stdout=found[path])


def _attributes(section: Section) -> dict[str, list[str]]:
    """Path -> what stat said of it, in the order of STAT_FORMAT."""
    there: dict[str, list[str]] = {}
    for line in _lines(section.body):
        head, _, path = line.partition("|")
        fields = head.split(" ", 6)
        if len(fields) == 7 and re.fullmatch(r"[0-9]{1,18}", fields[5]):
            there[path] = fields
    return there


def _stat(wanted: Wanted, section: Section, _code: int) -> Iterator[tuple[str, Answer]]:
    there = _attributes(section)
    for path in attributes_of(wanted):
        quoted = shlex.quote(path)
        fields = there.get(path, [])
        kind = fields[6] if fields else ""
        for letter, yes in (("e", bool(fields)), ("f", kind.startswith("regular")), ("d", kind == "directory")):
            yield f"test -{letter} {quoted}", Answer(code=0 if yes else 1)
        for letter, value in zip("auUgGs", fields, strict=False):
            yield f"stat -Lc %{letter} {quoted}", Answer(code=0, stdout=_bytes(f"{value}\n"))


def _sha256sum(wanted: Wanted, section: Section, _code: int) -> Iterator[tuple[str, Answer]]:
    there = {}
    for line in _lines(section.body):
        # A leading backslash says that the name after it is escaped (sha256sum(1)).
        match = re.fullmatch(r"(\\?)([0-9a-f]{64}) [ *](.+)", line)
        if match:
            escaped, digest, path = match.groups()
            there[path.replace("\\\\", "\\") if escaped else path] = escaped + digest
    for path in wanted.files:
        if path in there:
            yield f"sha256sum {shlex.quote(path)} | cut -d ' ' -f 1", Answer(code=0, stdout=_bytes(f"{there[path]}\n"))


def _units(wanted: Wanted, section: Section, code: int) -> Iterator[tuple[str, Answer]]:
    """What is as it should be; of what is not, the host says it in its own words."""
    rows = [line.split() for line in _lines(section.body)]
    states = {row[0]: row[2] for row in rows if len(row) > 2}
    if code:
        return
    if "failed" not in states.values():
        yield FAILED_UNITS, Answer(code=0)
    for command in wanted.commands:
        if states.get(active_unit_of(command)) == "active":
            yield command, Answer(code=0, stdout=b"active\n")


def _schedulers(wanted: Wanted, section: Section, _code: int) -> Iterator[tuple[str, Answer]]:
    for line in _lines(section.body):
        name, _, rest = line.partition(" ")
        code, _, said = rest.partition(" ")
        if name in wanted.schedulers and re.fullmatch(r"[0-9]{1,3}", code):
            yield SCHEDULER_COMMAND % shlex.quote(name), Answer(code=int(code), stderr=_bytes(said))


_READERS = {
    "kernel": _kernel,
    "dpkg-query": _dpkg,
    "rpm": _rpm,
    "stat": _stat,
    "sha256sum": _sha256sum,
    "units": _units,
    "schedulers": _schedulers,
}

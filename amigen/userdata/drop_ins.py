"""Files in nodeadm's drop-in folder: who writes them, and what that means for the user data.

nodeadm-config.service reads user data alone; nodeadm-run.service, which needs it, reads these files after it, in the
order of their names, and they win (nodeadm internal/configprovider/file.go, chain.go).
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from amigen.base import cloudyaml
from amigen.base.errors import Problem
from amigen.spec.model import File
from amigen.userdata import at_start, gomime, mime, nodeconfig
from amigen.userdata.finding import warning
from amigen.userdata.mime import Part

DROP_INS = "/etc/eks/nodeadm.d"


class DropIn(Struct, frozen=True, kw_only=True):
    """A file for nodeadm's drop-in folder.

    Attributes:
        name: Its name in the folder.
        content: Its text; None where it cannot be seen.
        by: Who writes it.
    """

    name: str
    content: bytes | None
    by: str


def drop_ins(parts: tuple[Part, ...]) -> list[DropIn]:
    """The drop-ins that cloud-config or a script writes, in the order in which nodeadm reads them."""
    found: dict[str, DropIn] = {}
    for number, part in enumerate(parts, 1):
        runs = mime.effective(part)
        if runs.type == mime.CLOUD_CONFIG:
            written = _of_cloud_config(runs, number)
        elif runs.type in (mime.SHELL, mime.BOOTHOOK, *mime.BY_FREQUENCY):
            written = _of_script(runs.content.decode("utf-8", "replace"), f"the script of part {number}")
        else:
            continue
        for drop_in in written:
            # What jinja puts in is known on the node alone.
            unseen = part is not runs and re.search(rb"{[{%]", drop_in.content or b"")
            found[drop_in.name] = replace(drop_in, content=None) if unseen else drop_in
    return [found[name] for name in sorted(found) if name.lower().endswith((".yaml", ".yml", ".json"))]


def _of_cloud_config(part: Part, number: int) -> Iterator[DropIn]:
    try:
        config = cloudyaml.read(part.content)
    except ValueError:
        return
    for key, value in config.items() if isinstance(config, dict) else ():
        by = f"{key} of part {number}"
        for entry in value if isinstance(value, list) else ():
            if key in ("bootcmd", "runcmd"):
                for text in entry if isinstance(entry, list) else (entry,):
                    yield from _of_script(str(text), by)
            elif key == "write_files" and isinstance(entry, dict):
                folder, _, name = posixpath.normpath(str(entry.get("path", ""))).rpartition("/")
                if folder == DROP_INS:
                    try:
                        # Newer versions of cloud-init fetch a `source`.
                        content = None if entry.get("source") else file_content(entry)
                    except ValueError:
                        content = None
                    yield DropIn(name=name, content=content, by=by)


def file_content(file: Mapping[str, Any]) -> bytes:
    """What cloud-init writes for an entry of `write_files` (cloudinit/config/cc_write_files.py, extract_contents).

    Raises:
        ValueError: The content is not what its encoding says.
    """
    content, encoding = file.get("content") or "", str(file.get("encoding") or "").lower().strip()
    content = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogateescape")
    try:
        if re.fullmatch(r"((gz|gzip)\+)?(b64|base64)", encoding):
            content = base64.b64decode(content)
    except binascii.Error:
        raise ValueError("is not base64") from None
    return mime.gunzip(content) if re.fullmatch(r"(gz|gzip)(\+(b64|base64))?", encoding) else content


# A line of a script, with what is in its quotes and behind a backslash.
_LINE = re.compile(r"""(?:(?<![^ \t\n;])\#[^\n]*|'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\n'"\\]|['"\\])*?(?=\n|\Z)""", re.S)
_HERE = re.compile(r"(?<!<)<<(-?)[ \t]*(\\?)(['\"]?)([\w.-]+)\3")
_TO = re.compile(
    r"(>>?|\btee\b(?: +-a\b)?|\b(?:cp|mv|install|ln)\b[^|;&\n]{0,300}|-[oO])[ \t]*['\"]?"
    r"/etc/eks/+nodeadm\.d['\"]?/+([\w.-]+)"
)
_ECHO = re.compile(r"\becho[ \t]+'([^']*)'[ \t]*(?:>|\|[ \t]*(?:sudo[ \t]+)?tee\b)")
_ASSIGNED = re.compile(
    r"^[ \t]*(?:(?:export|local|readonly)[ \t]+)?(\w+)=['\"]?(/etc/eks[\w./-]*)['\"]?[ \t]*;?$", re.M
)


def _of_script(text: str, by: str) -> Iterator[DropIn]:
    """Here-documents and texts that are written to the folder; what other commands write there cannot be seen."""
    values = dict(_ASSIGNED.findall(text))
    if values:
        text = re.sub(r"\$(\w+|\{\w+\})", lambda name: values.get(name[1].strip("{}"), name[0]), text)
    # Where a here-document can end: the places of each line, as it is and without tabs before it.
    ends: dict[tuple[str, str], list[int]] = {}
    for each in re.finditer(r".*", text) if "<<" in text else ():
        ends.setdefault(("", each[0]), []).append(each.start())
        ends.setdefault(("-", each[0].lstrip("\t")), []).append(each.start())
    found: dict[str, bytes | None] = {}
    place = 0
    while place < len(text):
        line = _LINE.match(text, place)
        assert line
        place = line.end() + 1
        code = re.sub(r"(?m)(^|[ \t;])#.*$", "", line[0].replace("\\\n", " "))
        here, echo = _HERE.search(code), _ECHO.search(code)
        content = f"{echo[1]}\n".encode() if echo else None
        if here:
            places = ends.get((here[1], here[4]), [])
            at = bisect_left(places, place)
            end = places[at] if at < len(places) else -1
            content = _here(text[place:end], here) if end >= 0 else None
            place = text.find("\n", end) + 1 or len(text) if end >= 0 else place
        for how, name in _TO.findall(code):
            adds = how == ">>" or how.endswith("-a")
            before = found.get(name) if adds else b""
            found[name] = None if content is None or (before is None and name in found) else (before or b"") + content
    for name, content in found.items():
        yield DropIn(name=name, content=content, by=by)


def _here(text: str, begin: re.Match[str]) -> bytes | None:
    """What the shell makes of a here-document; None where it puts in what is known on the node alone."""
    if begin[1]:
        text = re.sub(r"(?m)^\t+", "", text)
    if not (begin[2] or begin[3]):
        if re.search(r"(?<!\\)(?:\\\\)*[$`]", text):
            return None
        text = re.sub(r"\\([$`\\\n])", lambda found: found[1].strip("\n"), text)
    return text.encode()


def of_files(files: tuple[File, ...]) -> list[DropIn]:
    """The drop-ins among the files of a spec, in the order of their names."""
    found = []
    for number, file in enumerate(files):
        if re.fullmatch(rf"{DROP_INS}/[^/]+\.(?i:yaml|yml|json)", file.path):
            content = base64.b64decode(file.content_base64 or "") if file.content is None else file.content.encode()
            found.append(DropIn(name=file.path.rsplit("/", 1)[1], content=content, by=f"files[{number}]"))
    return sorted(found, key=lambda drop_in: drop_in.name)


def findings(files: tuple[File, ...], version: str, *, joins: bool) -> Iterator[Problem]:
    """What is wrong with the drop-ins of a spec.

    Args:
        files: Of the spec.
        version: Kubernetes, as `MAJOR.MINOR`.
        joins: Whether the spec names the cluster in `join.eks`.
    """
    for drop_in in of_files(files):
        contents, refusal = gomime.node_configs(drop_in.content or b"")
        if refusal:
            yield Problem(path=drop_in.by, message=f"line {refusal.line}: {refusal.message}", hint=refusal.hint)
        for read in map(nodeconfig.read, contents):
            for problem in (*read.findings, *at_start.findings(read.config, version, cluster=False)):
                yield replace(problem, path=drop_in.by, message=problem.message.replace("of the part", "of the file"))
            if not joins and read.config.get("spec", {}).get("cluster"):
                message = f"names the cluster in {DROP_INS}: nodeadm-config reads user data alone, and fails without it"
                hint = "set join.eks, or leave the cluster to the system that launches the nodes"
                found = warning("nodeadm", "drop-in-only", message, hint, nodeconfig.api().source)
                yield replace(found, path=drop_in.by)

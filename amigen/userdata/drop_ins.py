"""Files in nodeadm's drop-in folder: who writes them, and what that means for the user data.

nodeadm-config.service reads user data alone; nodeadm-run.service, which needs it, reads these files after it, in the
order of their names, and they win (nodeadm internal/configprovider/file.go, chain.go).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from amigen.base import cloudyaml
from amigen.base.errors import Problem
from amigen.spec.model import File
from amigen.userdata import at_start, mime, nodeconfig
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
        for drop_in in _of_cloud_config(part, number) if part.type == mime.CLOUD_CONFIG else _of_script(part, number):
            found[drop_in.name] = drop_in
    return [found[name] for name in sorted(found) if name.lower().endswith((".yaml", ".yml", ".json"))]


def _of_cloud_config(part: Part, number: int) -> Iterator[DropIn]:
    config = _mapping(part)
    files = config.get("write_files") if config else None
    for file in files if isinstance(files, list) else ():
        path = str(file.get("path", "")) if isinstance(file, dict) else ""
        if re.fullmatch(rf"{DROP_INS}/[^/]+", path):
            try:
                content = file_content(file)
            except ValueError:
                content = None
            yield DropIn(name=path.rsplit("/", 1)[1], content=content, by=f"write_files of part {number}")


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


def _of_script(part: Part, number: int) -> Iterator[DropIn]:
    """Here-documents that are written to the folder; other ways to write a file are not seen."""
    if part.type not in (mime.SHELL, mime.BOOTHOOK, *mime.BY_FREQUENCY):
        return
    text = part.content.decode("utf-8", "replace")
    line = rf"^[^#\n]*{DROP_INS}/([A-Za-z0-9._-]+)[^\n]*$"
    here = r"<<(-?)\s*(['\"]?)(\w+)\2"
    for found in re.finditer(line, text, re.M):
        begin = re.search(here, found[0])
        end = begin and re.search(rf"^{begin[1] and chr(9) + '*'}{begin[3]}$", text[found.end() :], re.M)
        if begin and end:
            content = text[found.end() + 1 : found.end() + end.start()]
            yield DropIn(name=found[1], content=content.encode(), by=f"the script of part {number}")


def _mapping(part: Part) -> dict[str, Any] | None:
    try:
        value = cloudyaml.read(part.content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


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
        read = nodeconfig.read(drop_in.content or b"")
        for problem in (*read.errors, *read.warnings, *at_start.findings(read.config, version, cluster=False)):
            message = problem.message.replace("of the part", "of the file")
            yield replace(problem, path=drop_in.by, message=message)
        if not joins and read.config.get("spec", {}).get("cluster"):
            message = f"names the cluster in {DROP_INS}: nodeadm-config reads user data alone, and fails without it"
            hint = "set join.eks, or leave the cluster to the system that launches the nodes"
            yield Problem(
                severity="warning", path=drop_in.by, message=message, hint=hint, source=nodeconfig.api().source
            )

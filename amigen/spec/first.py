"""The first spec of somebody: `amigen init`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from msgspec.structs import replace

from amigen.base.errors import ConflictError, InputError, Problem, SpecError
from amigen.base.files import errors_name, write_atomically
from amigen.spec.load import check_bytes
from amigen.spec.model import NodeImage
from amigen.spec.schema import json_schema

SCHEMA = Path(".amigen") / "schema.json"
_FIRST = """\
# yaml-language-server: $schema={schema}
# A node image for amigen. The schema above is for your editor; `amigen check` finds more.
apiVersion: amigen/v1alpha1
kind: NodeImage
name: {name}
kubernetesVersion: "{version}"
platforms: [{platforms}]
architectures: [{architectures}]

kubeProxy:
  mode: {mode}{ipvs}
"""
_IPVS = """
  ipvs:
    scheduler: rr
    # connTabBits: 16   # 65536 buckets, for large clusters"""


def first_spec(
    *, name: str, version: str, platforms: tuple[str, ...], architectures: tuple[str, ...], mode: str
) -> tuple[str, NodeImage]:
    """The text of a first spec, and what it says.

    Raises:
        SpecError: A value is wrong; the problems name the options of `amigen init`.
        InputError: A value is more than a plain word.
    """
    text = _FIRST.format(
        schema=SCHEMA,
        name=name,
        version=version,
        platforms=", ".join(platforms),
        architectures=", ".join(architectures),
        mode=mode,
        ipvs=_IPVS if mode == "ipvs" else "",
    )
    checked = check_bytes(text.encode("utf-8", "surrogateescape"), "init")
    made = checked.spec
    if checked.errors or made is None:
        raise SpecError("amigen init", tuple(map(_of_option, checked.errors)))
    if (made.name, made.kubernetes_version, made.platforms, made.architectures) != (
        name,
        version,
        platforms,
        architectures,
    ):
        raise InputError("an option contains characters that have a meaning in YAML", "give plain words")
    return text, made


def _of_option(problem: Problem) -> Problem:
    """The problem with the option whose value is wrong, and not with a place in a file that there is not."""
    key = problem.path.partition("[")[0]
    names = {"platforms": "platform", "architectures": "architecture", "kubernetesVersion": "kubernetes-version"}
    path = f"--{names.get(key, key.removeprefix('kubeProxy.'))}" if key else ""
    # Quotes are YAML's, and so are indexes.
    message, hint = problem.message.partition(" (also ")[0], problem.hint.replace(", in quotes", "").replace('"', "")
    return replace(problem, path=path, line=0, column=0, message=message, hint=hint)


def write_first(file: Path, text: str) -> None:
    """Write a spec, and its schema for editors beside it.

    Raises:
        ConflictError: There is such a file; it is not replaced.
        InputError: There is no such folder, or other commands would not find a file of this name.
        OSError: It cannot be written; no half of a file stays behind that the next run would not overwrite.
    """
    if str(file) == "-":
        raise InputError("init writes a file, and its schema beside it", "name it: amigen init node-image.yaml")
    if file.suffix not in (".yaml", ".yml"):
        raise InputError(f"{file} is not named as a spec", f"amigen init {file}.yaml, or --name for the image's name")
    try:
        # O_EXCL: two runs at once, or a link that points elsewhere, cannot make this overwrite anything.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        hint = "edit it, remove it, or name another: amigen init OTHER.yaml"
        raise ConflictError(f"{file} exists already", hint) from None
    except FileNotFoundError:
        raise InputError(f"there is no folder {file.parent}", f"mkdir -p {shlex.quote(str(file.parent))}") from None
    try:
        with errors_name(file), os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        write_atomically(file.parent / SCHEMA, (json.dumps(json_schema(), indent=1) + "\n").encode())
    except OSError:
        file.unlink(missing_ok=True)
        raise

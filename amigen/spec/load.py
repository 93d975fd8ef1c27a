"""Read and check a spec: from a file, from text, or from a mapping that a program made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import msgspec.structs
import yaml

from amigen.base.errors import InputError, Problem, SpecError
from amigen.base.files import read_at_most, read_file
from amigen.base.yamltext import YamlError
from amigen.spec import rules
from amigen.spec.document import MAX_BYTES, compose
from amigen.spec.model import ADDED, API_VERSION, Builder, Containerd, Instance, NodeImage, UserData
from amigen.spec.reader import INVALID, Reader


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        file: Name of the source, for messages.
        spec: The spec; None where it has errors that keep it from being read.
        problems: All findings, in the order of their lines.
        written: Key paths that the document has, with line and column; all others have their defaults.
        content: The document, to show the lines of findings.
    """

    file: str
    spec: NodeImage | None
    problems: tuple[Problem, ...]
    written: dict[str, tuple[int, int]] = {}
    content: bytes = b""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The findings that stop."""
        return tuple(p for p in self.problems if p.severity == "error")

    def passes(self, *, strict: bool) -> bool:
        """Whether nothing stops; with `strict`, warnings stop, too."""
        return not self.errors and not (strict and any(p.severity == "warning" for p in self.problems))

    def require(self) -> NodeImage:
        """The spec.

        Raises:
            SpecError: There are errors; the message lists all of them (and the warnings).
        """
        if self.errors or self.spec is None:
            raise SpecError(self.file, self.problems, self.content)
        return self.spec


def check_bytes(content: bytes, file: str = "<spec>") -> Checked:
    """Check a document; never raises for what it holds."""
    try:
        node = compose(content)
    except YamlError as error:
        problem = Problem(line=error.line, column=error.column, message=error.message, hint=error.hint)
        return Checked(file=file, spec=None, problems=(problem,), content=content)
    if other := _other_kind(node):
        return Checked(file=file, spec=None, problems=(other,), content=content)
    reader = Reader()
    spec = reader.struct(node, NodeImage, "")
    problems = list(reader.problems)
    valid = not problems
    if spec is not INVALID:
        problems += [_placed(problem, reader.places) for problem in rules.check(spec, reader.unreadable)]
    problems.sort(key=lambda p: (p.line, p.column))
    found_spec = spec if valid else None
    return Checked(file=file, spec=found_spec, problems=tuple(problems), written=reader.places, content=content)


def _other_kind(node: yaml.Node) -> Problem | None:
    """Of a document of another program, one problem: that it is no spec."""
    entries = node.value if isinstance(node, yaml.MappingNode) else ()
    scalars = {key.value: value for key, value in entries if isinstance(key, yaml.ScalarNode) and value.id == "scalar"}
    version, kind = scalars.get("apiVersion"), scalars.get("kind")
    if version is None or kind is None or kind.value == "NodeImage" or version.value.startswith("amigen/"):
        return None
    message = f"is a {kind.value[:60]} of {version.value[:60]}, and not a NodeImage of {API_VERSION}"
    mark = kind.start_mark
    hint = "`amigen init` writes a first spec"
    if version.value.startswith("node.eks.aws/"):
        hint = "`amigen user-data explain FILE` reads it; a spec has such settings under join.eks"
    return Problem(path="kind", line=mark.line + 1, column=mark.column + 1, message=message, hint=hint)


def check_file(path: str | Path) -> Checked:
    """Check a spec file; `-` reads stdin.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return check_bytes(read_at_most(path, MAX_BYTES), "<stdin>" if str(path) == "-" else str(path))
    except OSError as error:
        hint = "`amigen init` writes a first spec" if isinstance(error, FileNotFoundError) else ""
        raise InputError(f"cannot read the spec {path}: {error.strerror}", hint) from None
    except ValueError:
        raise InputError(f"cannot read the spec: {str(path)!r} is not a file name") from None


def existing_user_data(spec: NodeImage, path: str | Path) -> bytes | None:
    """The content of `userData.merge`, which is relative to the spec; None where the spec names no file.

    Raises:
        InputError: The file cannot be read, or has more than 1 MiB.
    """
    if spec.user_data.merge is None:
        return None
    folder = Path() if str(path) == "-" else Path(path).parent
    hint = "userData.merge in the spec names it, relative to the spec"
    return read_file(folder / Path(spec.user_data.merge).expanduser(), limit=MAX_BYTES, hint=hint)


def load_spec(path: str | Path) -> NodeImage:
    """The spec of a file.

    Raises:
        InputError: The file cannot be read.
        SpecError: The spec has errors; all of them are in the message.
    """
    return check_file(path).require()


def parse_spec(content: str | bytes | Mapping[str, object], file: str = "<spec>") -> NodeImage:
    """The spec of a text, or of a mapping with the keys of the YAML format.

    Raises:
        SpecError: The spec has errors; all of them are in the message.
    """
    if isinstance(content, Mapping):
        # JSON is YAML: a mapping takes the same way, and so the same checks, as a file.
        try:
            content = _as_yaml(msgspec.json.encode(dict(content)).decode())
        except (TypeError, ValueError) as error:
            problem = Problem(message=f"is not a mapping of plain values: {error}")
            raise SpecError(file, (problem,)) from None
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    return check_bytes(content, file).require()


def _as_yaml(json: str) -> str:
    """JSON as YAML reads it: what YAML takes for a line end, or for no text, is escaped, and so arrives unchanged."""
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda match: f"\\u{ord(match[0]):04x}", json)


def spec_digest(spec: NodeImage) -> str:
    """sha256 of what the spec says, hexadecimal: the same for two spellings of it, defaults written out or not."""
    said = msgspec.to_builtins(spec)
    for path, keys in ADDED.items():
        parts: list[Any] = [said]
        for step in path.split(".") if path else ():
            parts = [each for part in parts if part for each in (part.values() if step == "*" else (part.get(step),))]
        for part, key in product(filter(None, parts), keys):
            if part[key] in (None, False, {}, []) or part[key] == _UNSET.get(key):
                del part[key]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


# What the added fields are where nothing of them is set.
_UNSET: dict[str, Any] = {"firmware": "bios"} | {
    name: msgspec.to_builtins(default)
    for name, default in (
        ("userData", UserData()),
        ("containerd", Containerd()),
        ("instance", Instance()),
        ("builder", Builder()),
    )
}


def _placed(problem: Problem, places: dict[str, tuple[int, int]]) -> Problem:
    """The problem with its line: that of its key, or of the nearest key above it that the file has."""
    path = problem.path
    while path and path not in places:
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    # A spec without `kubeProxy` has its default, about which the Kubernetes version has something to say.
    path = "kubernetesVersion" if not path and problem.path.startswith("kubeProxy") else path
    line, column = places.get(path, (1, 1))
    return msgspec.structs.replace(problem, line=line, column=column)

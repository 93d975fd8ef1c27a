"""Read YAML and JSON as Kubernetes' decoders do: the first document, with texts resolved to types as Go does.

Sources: sigs.k8s.io/yaml v1.6 (YAMLToJSON), go.yaml.in/yaml/v2 (resolve.go, decode.go), apimachinery
pkg/runtime/serializer/json. PyYAML resolves other texts to numbers and booleans.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any

import yaml
from msgspec import Struct

from amigen.base.yamltext import Loader, decoded, within_limits

# Far above any real document.
MOST_VALUES, DEEPEST = 100_000, 200
_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NULL = ("", "~", "null", "Null", "NULL")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


class Document(Struct, frozen=True, kw_only=True):
    """The first document: plain values, and the line of each key of its mappings.

    Attributes:
        value: Mappings with text as keys, lists, text, numbers, booleans, None.
        lines: From a path of keys to the line in the text, from 1; empty for JSON.
        more: Other documents follow, which no decoder looks at.
        twice: Keys that a mapping has twice, in words: the last one counts.
    """

    value: Any
    lines: dict[tuple[str, ...], int]
    more: bool = False
    twice: tuple[str, ...] = ()


class _Loader(Loader):
    """Leaves the type of a plain scalar open, where PyYAML would resolve it."""

    redefines = True

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return "?" if implicit[0] else f"{_TAG}str"
        return f"{_TAG}map" if kind is yaml.MappingNode else f"{_TAG}seq"


def read(content: bytes, *, maybe_json: bool = True) -> Document:
    """Read one document.

    Args:
        maybe_json: As Kubernetes' decoders, which take what begins with `{` for JSON; False: as sigs.k8s.io/yaml.

    Raises:
        ValueError: It cannot be read, in a sentence with the line where that is known.
    """
    if maybe_json and content.lstrip(b"\t\n\v\f\r ").startswith(b"{"):
        return Document(value=_json(content), lines={})
    text = decoded(content, "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    if other := re.match(r"\ufeff?(?:[ \t]*(?:#.*)?\n)*%YAML +(?! |1\.1\s)(.*)", text):
        raise ValueError(f"says %YAML {other[1][:10]}: Go's reader takes 1.1 alone, or nothing")
    if "\n\ufeff" in text:
        raise ValueError(
            f"has a byte order mark in it (line {text[: text.index(chr(10) + chr(0xFEFF))].count(chr(10)) + 2})"
        )
    try:
        node, more = _Loader(text, DEEPEST).first_document()
        found = twice(within_limits(node, deepest=DEEPEST, most=MOST_VALUES))
        builder = _Values()
        value = builder.of(node, ()) if node else None
        return Document(value=value, lines=builder.lines, more=more, twice=found)
    except yaml.YAMLError as error:
        if "unknown escape" not in str(error):
            raise ValueError(not_yaml(error, text)) from None
        # An escape that Go's reader knows and libyaml does not.
        plain = re.sub(r'(?s)"(?:[^"\\]|\\.)*(?:"|\Z)', lambda text: re.sub(r"(?s)\\(.)", _unescaped, text[0]), text)
        if plain == text:
            raise ValueError(not_yaml(error, text)) from None
        return read(plain.encode(), maybe_json=maybe_json)


def _unescaped(found: re.Match[str]) -> str:
    return "'" if found[1] == "'" else found[0]


def not_yaml(error: yaml.YAMLError, text: str) -> str:
    """What the parser refuses, with the line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"is not valid YAML: {' '.join(str(error).split())}"
    mark = error.problem_mark or error.context_mark
    place = f" (line {mark.line + 1})" if mark else ""
    tab = mark and re.match(r" *\t", text[mark.index - mark.column :])
    return f"is not valid YAML: {'the line is indented with a tab' if tab else error.problem or error.context}{place}"


def compose(text: str) -> yaml.Node | None:
    """The node tree of the first document, with marks; the types of plain scalars stay open.

    Raises:
        yaml.YAMLError: It cannot be read.
    """
    return _Loader(text, DEEPEST).first_document()[0]


def _json(content: bytes) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"holds {word}, which JSON cannot")

    def number(text: str) -> int | float:
        return int(text) if len(text) < 40 else float(text)

    try:
        return json.loads(content.decode("utf-8", "replace"), parse_constant=refuse, parse_int=number)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"begins with {{ and is not valid JSON: {error.msg} (line {error.lineno})") from None


def twice(nodes: Iterable[yaml.Node]) -> tuple[str, ...]:
    """Each key that stands twice in one mapping, with its lines; PyYAML and Go's reader take the last one."""
    found: list[str] = []
    for node in nodes:
        first: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            line = key.start_mark.line + 1
            if key.value in first:
                found.append(f"`{key.value[:40]}` twice (lines {first[key.value]} and {line})")
            first[key.value] = line
    return tuple(dict.fromkeys(found))


class _Values:
    """Plain values from nodes."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, ...], int] = {}

    def of(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(child, (*path, str(number))) for number, child in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if (
                isinstance(key_node, yaml.ScalarNode)
                and key_node.value == "<<"
                and key_node.tag in ("?", f"{_TAG}merge")
            ):
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                line = key_node.start_mark.line + 1
                raise ValueError(f"has a key that is not text (line {line})")
            key = _key(_scalar(key_node), key_node.start_mark.line + 1)
            out[key] = self.of(value_node, (*path, key))
            below = (*path, key)
            self.lines[below] = key_node.start_mark.line + 1
        for child in merged:
            if not isinstance(child, yaml.MappingNode):
                raise ValueError(f"`<<` needs a mapping (line {child.start_mark.line + 1})")
            out = {**self._mapping(child, path), **out}
        return out


def _key(value: Any, line: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, bytes):
        raise ValueError(f"has a key that is empty (line {line})")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scalar(node: yaml.ScalarNode) -> Any:
    """resolve.go: the value of a scalar.

    Raises:
        ValueError: Its tag asks for a type that it has not, or JSON cannot hold it.
    """
    text: str = node.value
    tag = node.tag.removeprefix(_TAG)
    line = node.start_mark.line + 1
    if tag == "binary":
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", "replace")
        except binascii.Error:
            raise ValueError(f"has !!binary data that is not base64 (line {line})") from None
    if tag not in ("?", "bool", "int", "float", "null", "timestamp"):
        return text
    value = _resolved(text, line)
    kind = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value), "str")
    if tag in ("?", kind) or (tag, kind) == ("float", "int"):
        return value
    if tag == "timestamp" and re.match(r"\d{4}-", text):
        return text
    raise ValueError(f"cannot decode {text[:40]!r} as !!{tag} (line {line})")


def _resolved(text: str, line: int) -> Any:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(f"holds {text}, which JSON cannot (line {line})")
    if not text or text[0] not in "+-.0123456789":
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    value = whole(plain)
    if value is not None and -(2**63) <= value < 2**64:
        return value
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return text if number in (float("inf"), float("-inf")) else number
    return text


def whole(text: str) -> int | None:
    """A whole number as `strconv.ParseInt` of Go reads it with base 0; None for another text."""
    if not _INT.fullmatch(text) or len(text) >= 80:
        return None
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").lower()
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits[1:]}"
    return sign * int(digits, 0)

"""From a YAML node tree to a typed spec. One idea: every problem is collected, and none stops the reading.

Where a value cannot be read, its default takes its place, or an empty value of its type; the key path is noted in
`Reader.unreadable`, and `amigen.spec.rules` reports nothing about these paths. So the rules still judge all the rest.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from amigen.base.errors import Problem, masked
from amigen.base.words import nearest
from amigen.platforms import PLATFORMS
from amigen.spec.paths import key_path
from amigen.spec.shape import Shape, empty, fields

_TAG = "tag:yaml.org,2002:"
_FOUND = {
    "str": "text",
    "int": "a number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "map": "a mapping",
    "seq": "a list",
    "merge": "a merge key",
}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULLS = ("", "~", "null", "Null", "NULL")
# After this many problems no nearest known name is suggested: finding it takes time.
_HELPED = 200
# A version with more, or with a `v`, than MAJOR.MINOR.
_VERSION = re.compile(r"v?([0-9]+\.[0-9]+)(?:\.[0-9]+)?")
# The value of a node that cannot be read; its problem has been noted.
INVALID: Any = object()


class Reader:
    """Reads one document.

    Attributes:
        problems: The problems found so far.
        places: Key path -> (line, column).
        unreadable: Key paths of values that cannot be read, or that may be meant by an unknown key.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.places: dict[str, tuple[int, int]] = {}
        self.unreadable: set[str] = set()

    def struct(self, node: yaml.Node, struct: type[msgspec.Struct], path: str) -> Any:
        """An instance of `struct`, or INVALID if the node is not a mapping.

        The document is valid only if `problems` is empty.
        """
        entries = self._entries(node, path, _as_mapping(node, struct, path))
        if entries is None:
            return INVALID
        known = fields(struct)
        values: dict[str, Any] = {}
        for key, (key_node, value_node) in entries.items():
            if key not in known:
                self._unknown(key_node, key, known, path)
                continue
            attribute, shape, required = known[key]
            value = self.value(value_node, shape, key_path(path, key))
            if value is not INVALID or required:
                values[attribute] = empty(shape) if value is INVALID else value
        for key, (attribute, shape, required) in known.items():
            if required and key not in entries:
                self._note(node, path, f"`{key}` is missing", f"expected {shape.allowed}", about=key_path(path, key))
                values[attribute] = empty(shape)
        return struct(**values)

    def value(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        """The value of any shape, or INVALID."""
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        kind = _kind(node)
        if kind == "null" and node.value not in _NULLS:
            return self._wrong(node, shape, path)
        if kind == "null" and shape.kind in ("struct", "map", "list"):
            # `packages:` without a value means an empty list.
            node = yaml.SequenceNode(_TAG + "seq", [], node.start_mark, node.end_mark)
            if shape.kind != "list":
                node = yaml.MappingNode(_TAG + "map", [], node.start_mark, node.end_mark)
        elif kind == "null" and shape.nullable:
            return None
        reader = getattr(self, f"_{shape.kind}")
        return reader(node, shape, path)

    def _struct(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        return self.struct(node, shape.type, path)

    def _map(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        entries = self._entries(node, path)
        assert shape.key
        assert shape.item
        if entries is None:
            return INVALID
        out: dict[str, Any] = {}
        for key, (key_node, value_node) in entries.items():
            where = key_path(path, key)
            read_key = self.value(key_node, shape.key, where)
            value = self.value(value_node, shape.item, where)
            out[key] = INVALID if read_key is INVALID else value
        if self._length(node, shape, path, len(out)):
            return INVALID
        return {key: value for key, value in out.items() if value is not INVALID}

    def _list(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        assert shape.item
        if _kind(node) != "seq":
            found = _FOUND.get(_kind(node), f"a value with the tag {node.tag}")
            return self._note(node, path, f"expected a list, found {found}", "write `[...]`, or one `- ` per line")
        items = tuple(self.value(child, shape.item, f"{path}[{index}]") for index, child in enumerate(node.value))
        if self._length(node, shape, path, len(items)):
            return INVALID
        return tuple(empty(shape.item) if item is INVALID else item for item in items)

    def _choice(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        kind = _kind(node)
        if kind in ("map", "seq"):
            return self._wrong(node, shape, path)
        if kind == "str" and node.value in shape.choices:
            return node.value
        if node.value in shape.choices:
            return self._note(
                node, path, f"{node.value} is read as {_FOUND[kind]}", f'put it in quotes: "{node.value}"'
            )
        near = meant(str(node.value), shape.choices) if len(self.problems) < _HELPED else None
        if len(shape.choices) == 1:
            return self._note(node, path, f"unsupported value {_shown(node.value)}", f"use {shape.choices[0]!r}")
        hint = f"expected {shape.allowed}" + (f"; did you mean {near!r}?" if near else "")
        return self._note(node, path, f"unknown value {_shown(node.value)}", hint)

    def _text(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        kind = _kind(node)
        if kind == "timestamp":
            kind = "str"
        if kind != "str":
            hint = f'put it in quotes: "{node.value}"' if kind in ("int", "float", "bool") else ""
            return self._wrong(node, shape, path, hint)
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError:
            return self._note(node, path, "contains half of a surrogate pair", "write the whole character")
        # `$` of a regular expression also matches before a newline at the end; no pattern of the model allows one.
        if shape.pattern and (not re.search(shape.pattern, text) or text.endswith("\n")):
            version = _VERSION.fullmatch(text)
            near = version[1] if version and re.search(shape.pattern, version[1]) else None
            hint = f"expected {shape.allowed}" + (f'; did you mean "{near}"?' if near else "")
            spaced = " " in text and re.search(shape.pattern, text.replace(" ", ""))
            why = ": it contains a space" if spaced else ""
            return self._note(node, path, f"invalid value {_shown(text)}{why}", hint)
        return INVALID if self._length(node, shape, path, len(text)) else text

    def _integer(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        if _kind(node) != "int":
            return self._wrong(node, shape, path)
        value = _integer(node)
        low = next((m.ge for m in shape.metas if m.ge is not None), -(2**63))
        high = next((m.le for m in shape.metas if m.le is not None), 2**63 - 1)
        if value is None or not low <= value <= high:
            return self._note(node, path, f"{_shown(node.value)} is out of range", f"expected {shape.allowed}")
        return value

    def _boolean(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        value = _BOOLEANS.get(node.value.lower()) if _kind(node) == "bool" else None
        return self._wrong(node, shape, path) if value is None else value

    def _union(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        wanted = {"int": "integer", "bool": "boolean"}.get(_kind(node), "text")
        for member in shape.members:
            if member.kind == wanted:
                return self.value(node, member, path)
        return self._wrong(node, shape, path)

    def _any(self, node: yaml.Node, shape: Shape, path: str) -> Any:
        """A value of JSON: what another program's configuration may hold."""
        kind = _kind(node)
        if kind == "map":
            entries = self._entries(node, path) or {}
            named = {key: self.value(value, shape, key_path(path, key)) for key, (_, value) in entries.items()}
            return {key: value for key, value in named.items() if value is not INVALID}
        if kind == "seq":
            items = [self.value(child, shape, f"{path}[{index}]") for index, child in enumerate(node.value)]
            return [item for item in items if item is not INVALID]
        if kind == "null":
            return None
        if kind == "float" and isinstance(node, yaml.ScalarNode):
            return self._float(node, path)
        readers = {"int": "_integer", "bool": "_boolean", "str": "_text", "timestamp": "_text"}
        return getattr(self, readers[kind])(node, shape, path) if kind in readers else self._wrong(node, shape, path)

    def _float(self, node: yaml.ScalarNode, path: str) -> Any:
        value = float(yaml.SafeLoader("").construct_yaml_float(node))
        if value in (float("inf"), float("-inf")) or value != value:
            return self._note(node, path, f"{_shown(node.value)} is not a JSON number", "write a finite number")
        return value

    def _entries(self, node: yaml.Node, path: str, hint: str = "") -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """The entries of a mapping by key; None, with a problem, where it is not one."""
        if _kind(node) != "map":
            self._note(
                node,
                path,
                f"expected a mapping, found {_FOUND.get(_kind(node), 'something else')}",
                hint or "write `key: value` lines",
            )
            return None
        out: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(key_node, path, "a key is a mapping or a list", "keys are words", about="")
            elif key_node.value == "<<" and _kind(key_node) == "merge":
                self._note(
                    key_node,
                    path,
                    "merge keys (`<<`) are not supported",
                    "repeat the keys, or use an alias for a whole value",
                    about="",
                )
            elif key_node.value in out:
                first = out[key_node.value][0].start_mark.line + 1
                message = f"duplicate key {_shown(key_node.value)} (first defined on line {first})"
                self._note(key_node, path, message, "remove one", about=key_path(path, key_node.value))
            else:
                out[key_node.value] = (key_node, value_node)
        return out

    def _length(self, node: yaml.Node, shape: Shape, path: str, length: int) -> bool:
        low = next((m.min_length for m in shape.metas if m.min_length is not None), 0)
        high = next((m.max_length for m in shape.metas if m.max_length is not None), None)
        one, many = ("character", "characters") if shape.kind == "text" else ("entry", "entries")
        counted = f"{length} {one if length == 1 else many}"
        if length < low:
            message = f"is too short: {counted}, at least {low} required" if length else "is empty"
            self._note(node, path, message, f"expected at least {low} {one if low == 1 else many}")
            return True
        if high is not None and length > high:
            self._note(node, path, f"is too long: {counted}", f"expected at most {high} {many}")
            return True
        return False

    def _unknown(self, node: yaml.Node, key: str, known: dict[str, Any], path: str) -> None:
        near = nearest(key, known) if len(self.problems) < _HELPED else None
        hint = f"did you mean `{near}`? " if near else ""
        # The known key may be meant, so its value is uncertain.
        meant = key_path(path, near) if near else ""
        self._note(node, path, f"unknown key {_shown(key)}", f"{hint}known: {', '.join(known)}", about=meant)

    def _wrong(self, node: yaml.Node, shape: Shape, path: str, hint: str = "") -> Any:
        found = _FOUND.get(_kind(node), f"a value with the tag {node.tag}")
        expected, allowed = _expected(shape), f"expected {shape.allowed}"
        if _kind(node) == "str" and (node.value.isdigit() if shape.kind == "integer" else node.value in _BOOLEANS):
            hint = hint or "remove the quotes"
        hint = f"{hint}; {allowed}" if hint and expected != shape.allowed else hint or allowed
        return self._note(node, path, f"expected {expected}, found {found}", hint)

    def _note(self, node: yaml.Node, path: str, message: str, hint: str = "", about: str | None = None) -> Any:
        """Note a problem; `about` is the path of the unreadable value where it is not `path`."""
        self.unreadable |= {path if about is None else about} - {""}
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.problems.append(Problem(path=path, line=line, column=column, message=message, hint=hint))
        return INVALID


def _integer(node: yaml.Node) -> int | None:
    """A whole number of YAML 1.1 (`0o17`, `0x1f`, `1_000`); None if it is not one or over 40 characters long."""
    if not isinstance(node, yaml.ScalarNode) or len(node.value) > 40:
        return None
    try:
        return int(yaml.SafeLoader("").construct_yaml_int(node))
    except (ValueError, IndexError):
        return None


def _kind(node: yaml.Node) -> str:
    """The kind that YAML resolved; the whole tag if it is foreign or does not fit the node (`!!null [a]`)."""
    kind = str(node.tag).removeprefix(_TAG)
    own = {"map": yaml.MappingNode, "seq": yaml.SequenceNode}.get(kind, yaml.ScalarNode)
    return kind if isinstance(node, own) else str(node.tag)


def _as_mapping(node: yaml.Node, struct: type[msgspec.Struct], path: str) -> str:
    """A hint where a mapping is expected: for a scalar the mapping with its one required text, else its keys."""
    wanted = [key for key, (_, shape, required) in fields(struct).items() if required and shape.kind == "text"]
    if not isinstance(node, yaml.ScalarNode) or len(wanted) != 1 or not str(node.value).isprintable():
        return f"write `key: value` lines; keys: {', '.join(fields(struct))}"
    return f"write `{'- ' if path.endswith(']') else ''}{wanted[0]}: {str(node.value)[:60]}`"


def _expected(shape: Shape) -> str:
    return "text" if shape.kind in ("text", "choice") else shape.allowed


def _shown(value: object) -> str:
    """A value in a message: quoted, in one line, at most 80 characters."""
    text = repr(masked(str(value)))
    return text if len(text) <= 80 else text[:76] + "...'"


# Names of other tools. https://wiki.debian.org/SupportedArchitectures, uname(1), Packer, eksctl and Karpenter.
_WORDS = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "x64": "x86_64",
    "intel": "x86_64",
    "aarch64": "arm64",
    "arm": "arm64",
    "graviton": "arm64",
    "amazonlinux": "al2023",
    "amazonlinux2023": "al2023",
    "amzn2023": "al2023",
    "al2023": "al2023",
    "ipvsadm": "ipvs",
    "nft": "nftables",
    "nf_tables": "nftables",
    "iptable": "iptables",
    "roundrobin": "rr",
    "leastconnection": "lc",
    "leastconn": "lc",
    "sourcehash": "sh",
    "sourcehashing": "sh",
}


def meant(word: str, known: tuple[str, ...]) -> str | None:
    """The known name for that of another tool (`aarch64`, `amazon-linux-2023`, `noble`), else the nearest one."""
    lower = word.lower()
    bare = re.sub(r"[-_ ]", "", lower)
    codenames = {fact.codename: name for name, fact in PLATFORMS.items() if fact.codename}
    bare_names = {re.sub(r"[-_. ]", "", name): name for name in known}
    for found in (_WORDS.get(lower), _WORDS.get(bare), codenames.get(lower), bare_names.get(bare.replace(".", ""))):
        if found in known:
            return found
    return nearest(word, known)

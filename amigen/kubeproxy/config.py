"""Edit the KubeProxyConfiguration that a ConfigMap embeds, in place.

The text is not dumped again: the marks of the YAML parser say where each value stands, and only that place is
rewritten. So comments, order, quotes and fields that amigen does not know stay byte by byte. Each edit is proved by
parsing the result: nothing but the wanted paths may differ.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from amigen.base.errors import InputError
from amigen.kubeproxy.settings import Value

KIND = "KubeProxyConfiguration"
API_GROUP = "kubeproxy.config.k8s.io/"
_MAX = 1_000_000  # a ConfigMap holds no more
# PyYAML's constructors raise all of these for values that lie (`!!int ""`, `!!timestamp x`, a float of base 60).
YAML_ERRORS = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError),
    *(AttributeError, ArithmeticError, RecursionError),
)


class UnreadableError(InputError):
    """A text that no YAML parser takes."""


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """A parsed configuration.

    Attributes:
        text: As it stands in the ConfigMap.
        where: `configmap kube-system/kube-proxy-config, key config`, for messages.
        values: The parsed document.
    """

    text: str
    where: str
    values: Mapping[str, Any]

    def get(self, path: str) -> Any:
        """The value at a dotted path; None where nothing stands."""
        value: Any = self.values
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    @property
    def mode(self) -> str:
        """The mode in force: empty means the platform's default, iptables on Linux."""
        return str(self.get("mode") or "iptables")

    @property
    def scheduler(self) -> str:
        """The scheduler in force: empty means rr."""
        return str(self.get("ipvs.scheduler") or "rr")

    def edited(self, changes: Mapping[str, Value]) -> ProxyConfig:
        """With `changes` (dotted path -> value), everything else as it was.

        Raises:
            InputError: A place cannot be edited without touching something else (an alias, a key that stands twice).
        """
        text = self.text
        try:
            for path, value in changes.items():
                text = _edit(text, path.split("."), value, self.where)
            after = read_config(text, self.where)
        except UnreadableError:
            # The text itself could be read, so it is the edit that cannot.
            raise _cannot_edit(self.where) from None
        _prove(self.values, after.values, changes, self.where)
        return after

    def diff(self, after: ProxyConfig) -> str:
        """A unified diff; empty where nothing changes."""
        return "".join(
            difflib.unified_diff(
                self.text.splitlines(keepends=True),
                after.text.splitlines(keepends=True),
                f"{self.where} (now)",
                f"{self.where} (then)",
            )
        )


def read_config(text: str, where: str) -> ProxyConfig:
    """Parse a configuration.

    Raises:
        InputError: Not YAML, not a KubeProxyConfiguration, or of a form that cannot be edited safely.
    """
    root = _compose(text, where)
    try:
        values = yaml.safe_load(text)
    except YAML_ERRORS as error:
        _unreadable(where, error)
    assert isinstance(root, yaml.MappingNode)
    if not isinstance(values, dict) or values.get("kind") != KIND:
        kind = values.get("kind") if isinstance(values, dict) else None
        raise InputError(
            f"{where}: not a {KIND} (kind is {kind!r})", "amigen edits only what kube-proxy reads with --config"
        )
    version = str(values.get("apiVersion"))
    if version != API_GROUP + "v1alpha1":
        raise InputError(
            f"{where}: apiVersion {version!r} is not known to amigen", f"known is {API_GROUP}v1alpha1; edit it by hand"
        )
    try:
        json.dumps(values, default=str)
    except YAML_ERRORS as error:
        _unreadable(where, error)
    for section in ("ipvs", "iptables", "nftables", "featureGates"):
        if not isinstance(values.get(section), (dict, type(None))):
            raise InputError(f"{where}: {section} is not a mapping; kube-proxy cannot read this either")
    for path in ("mode", "ipvs.scheduler"):
        if not isinstance(_dig(values, path), (str, type(None))):
            raise InputError(f"{where}: {path} is not text; kube-proxy cannot read this either")
    return ProxyConfig(text=text, where=where, values=values)


def _dig(values: Mapping[str, Any], path: str) -> Any:
    value: Any = values
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _compose(text: str, where: str) -> yaml.MappingNode:
    if len(text) > _MAX:
        raise InputError(f"{where}: longer than a ConfigMap can be")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_twice(root, where)
    except YAML_ERRORS as error:
        _unreadable(where, error)
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{where}: the configuration is empty or not a mapping")
    return root


def _unreadable(where: str, error: Exception) -> NoReturn:
    mark = getattr(error, "problem_mark", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error).split("\n")[0] or type(error).__name__
    raise UnreadableError(
        f"{where}: cannot be parsed{place}: {problem}",
        "nothing was changed; kube-proxy cannot read it either: repair it with `kubectl edit`, then try again",
    ) from None


def _refuse_twice(root: yaml.Node | None, where: str) -> None:
    """A key that stands twice: which of the two counts depends on the reader."""
    if not isinstance(root, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise InputError(
                    f"{where}: {key.value!r} stands twice (again at line {key.start_mark.line + 1})",
                    "remove one of the two; kube-proxy refuses it too",
                )
            seen.add(key.value)
        if value.start_mark.index >= root.start_mark.index:
            _refuse_twice(value, where)


def _edit(text: str, path: list[str], value: Value, where: str) -> str:
    """Set one path in the text."""
    parent = _compose(text, where)
    for depth, key in enumerate(path):
        node = _child(parent, key, where)
        if node is None:
            return _insert(text, parent, path[depth:], value, where)
        if depth == len(path) - 1:
            return text if _scalar(node) == _yaml(value) else _replace(text, node, _yaml(value))
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return _replace(text, node, _flow(path[depth + 1 :], value))
        if not isinstance(node, yaml.MappingNode):
            raise InputError(f"{where}: {'.'.join(path[: depth + 1])} is not a mapping")
        parent = node
    raise AssertionError("a path is never empty")


def _child(parent: yaml.MappingNode, key: str, where: str) -> yaml.Node | None:
    for name, node in parent.value:
        if isinstance(name, yaml.ScalarNode) and name.value == key:
            if node.start_mark.index < name.end_mark.index:
                raise InputError(
                    f"{where}: {key} is an alias (`*`): an edit would change the other place too",
                    "write the value out with `kubectl edit`, then try again",
                )
            assert isinstance(node, yaml.Node)
            return node
    return None


def _scalar(node: yaml.Node) -> str | None:
    return _yaml(yaml.SafeLoader("").construct_document(node)) if isinstance(node, yaml.ScalarNode) else None


def _yaml(value: Any) -> str:
    """A value as one token; JSON is YAML's flow style, and quotes keep `0` and `on` from becoming something else."""
    return json.dumps(value)


def _flow(path: list[str], value: Value) -> str:
    text = _yaml(value)
    for key in reversed(path):
        text = "{" + f"{json.dumps(key)}: {text}" + "}"
    return text


def _replace(text: str, node: yaml.Node, new: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    old = text[start:end]
    # The mark of a block value ends after its last line break: the break and comments behind it stay.
    tail = old[len(old.rstrip()) :]
    space = "" if start == 0 or text[start - 1] in " \n\t[{," else " "
    return text[:start] + space + new + tail + text[end:]


def _insert(text: str, parent: yaml.MappingNode, path: list[str], value: Value, where: str) -> str:
    """Add a key that does not stand there: in block style as the last line of its mapping, or inside the braces."""
    if parent.flow_style:
        return _insert_in_braces(text, parent, f"{json.dumps(path[0])}: {_flow(path[1:], value)}")
    if not parent.value:
        raise InputError(f"{where}: the mapping around {'.'.join(path)} is empty")
    first, last = parent.value[0][0], parent.value[-1]
    indent = " " * first.start_mark.column
    lines = [f"{indent}{'  ' * depth}{key}:" for depth, key in enumerate(path)]
    lines[-1] += " " + _yaml(value)
    at = _end_of_line(text, last)
    line_end = "\r\n" if "\r\n" in text else "\n"
    start = text[:at]
    if start and not start.endswith("\n"):
        start += line_end
    return start + line_end.join(lines) + line_end + text[at:]


def _insert_in_braces(text: str, parent: yaml.MappingNode, pair: str) -> str:
    """Behind the last value, where no comment can swallow it; or before the closing brace, where there is none."""
    key, node = parent.value[-1] if parent.value else (None, None)
    if key is None or node is None or node.start_mark.index < key.start_mark.index:  # empty, or ends with an alias
        at = parent.end_mark.index - 1
        return text[:at] + (", " if parent.value else "") + pair + text[at:]
    at = max(key.end_mark.index, node.end_mark.index)
    return text[:at] + f", {pair}" + text[at:]


def _end_of_line(text: str, pair: tuple[yaml.Node, yaml.Node]) -> int:
    """Where the line after a key's value begins: behind the last line that holds something of it."""
    key, node = pair
    begin = key.end_mark.index
    end = max(begin, node.end_mark.index)
    end = begin + len(text[begin:end].rstrip())
    newline = text.find("\n", end)
    return len(text) if newline < 0 else newline + 1


def _prove(before: Mapping[str, Any], after: Mapping[str, Any], changes: Mapping[str, Value], where: str) -> None:
    """The result differs from the original in the wanted paths and nowhere else."""
    wanted = json.loads(json.dumps(dict(before), default=str))
    for path, value in changes.items():
        *above, last = path.split(".")
        place = wanted
        for key in above:
            place[key] = place.get(key) or {}
            place = place[key]
        place[last] = value
    if json.loads(json.dumps(dict(after), default=str)) != wanted:
        raise _cannot_edit(where)


def _cannot_edit(where: str) -> InputError:
    return InputError(
        f"{where}: amigen cannot edit this text without touching other fields",
        "edit it with `kubectl edit`; nothing was changed",
    )

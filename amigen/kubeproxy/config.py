"""Edit the KubeProxyConfiguration that a ConfigMap embeds, in place.

The text is not dumped again: the marks of the YAML parser say where each value is, and only that place is rewritten. So
comments, order, quotes and fields that amigen does not know stay byte by byte. Each edit is proved by parsing the
result: nothing but the wanted paths may differ. The text is read as kube-proxy's decoder reads it (loadConfig in
cmd/kube-proxy/app/options.go of Kubernetes 1.37): the first document counts, and of a duplicate key the last.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from amigen.base import goyaml
from amigen.base.errors import InputError
from amigen.kubeproxy.fields import Value, kind_of, value_text
from amigen.services.model import Network, read_network
from amigen.spec.kubelet_values import seconds

KIND = "KubeProxyConfiguration"
API_GROUP = "kubeproxy.config.k8s.io/"
# What an unset field means.
_DEFAULTS: Mapping[str, str] = {"mode": "iptables", "ipvs.scheduler": "rr"}
_MAX = 1_000_000  # a ConfigMap holds no more


class UnreadableError(InputError):
    """The text is not YAML, or not one that kube-proxy reads."""


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """A parsed configuration.

    Attributes:
        text: As it is in the ConfigMap.
        where: `configmap kube-system/kube-proxy-config, key config`, for messages.
        values: The parsed document.
    """

    text: str
    where: str
    values: Mapping[str, Any]

    def get(self, path: str) -> Any:
        """The value at a dotted path; None where it is unset."""
        return value_at(self.values, path)

    def texts(self, path: str) -> list[str]:
        """The list of texts at a dotted path, empty where it is unset; InputError where it is something else."""
        found = self.get(path) or []
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise InputError(f"{self.where}: {path} is not a list of texts")
        return found

    def network(self, path: str, text: str) -> Network:
        """A CIDR of the list at a dotted path; InputError where it is not one."""
        if (found := read_network(text)) is None:
            raise InputError(f"{self.where}: {path}: {text!r} is not a CIDR")
        return found

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
            InputError: A place cannot be edited without touching something else (an alias, an anchor).
        """
        text = self.text
        try:
            for path, value in changes.items():
                if self.get(path) == value and type(self.get(path)) is type(value):
                    continue
                text = _edit(text, path.split("."), value, self.where)
            after = read_config(text, self.where)
        except UnreadableError:
            # The text itself could be read, so it is the edit that cannot.
            raise _cannot_edit(self.where) from None
        if after.values != with_changes(self.values, changes):
            raise _cannot_edit(self.where)
        return after


def read_config(text: str, where: str) -> ProxyConfig:
    """Parse a configuration.

    Raises:
        InputError: Not YAML, not a KubeProxyConfiguration, or of a form that cannot be edited safely.
    """
    if len(text) > _MAX:
        raise InputError(f"{where}: longer than a ConfigMap can be")
    try:
        values = goyaml.read(text.encode()).value
    except ValueError as error:
        raise UnreadableError(
            f"{where}: {error}",
            "nothing was changed; kube-proxy cannot read it either: repair it with `kubectl edit`, then try again",
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{where}: the configuration is empty or not a mapping")
    if values.get("kind") != KIND:
        raise InputError(
            f"{where}: not a {KIND} (kind is {values.get('kind')!r})",
            "amigen edits only what kube-proxy reads with --config",
        )
    version = str(values.get("apiVersion"))
    if version != API_GROUP + "v1alpha1":
        raise InputError(
            f"{where}: unsupported apiVersion {version!r}", f"amigen edits {API_GROUP}v1alpha1; edit it by hand"
        )
    kinds: dict[str, tuple[type, str]] = {
        **dict.fromkeys(("ipvs", "iptables", "nftables", "featureGates"), (dict, "a mapping")),
        **dict.fromkeys(("mode", "ipvs.scheduler"), (str, "text")),
    }
    for path, (kind, name) in kinds.items():
        if not isinstance(value_at(values, path), kind | None):
            raise InputError(f"{where}: {path} is not {name}; kube-proxy cannot read this either")
    return ProxyConfig(text=text, where=where, values=values)


def _edit(text: str, path: list[str], value: Value, where: str) -> str:
    """Set one path in the text."""
    # The parser's marks do not count a byte order mark.
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    try:
        parent = goyaml.compose(text)
    except (yaml.YAMLError, ValueError):  # JSON that is no YAML, or nested too deep
        raise _cannot_edit(where) from None
    if not isinstance(parent, yaml.MappingNode):
        raise _cannot_edit(where)
    for depth, key in enumerate(path):
        node = _child(parent, key)
        if node is None:
            return mark + _insert(text, parent, path[depth:], value)
        if depth == len(path) - 1:
            return mark + _replace(text, node, value)
        if isinstance(node, yaml.ScalarNode):  # null: read_config has looked at all sections
            return mark + _put(text, node.start_mark.index, node.end_mark.index, _token(value, path[depth + 1 :]))
        assert isinstance(node, yaml.MappingNode)
        parent = node
    raise AssertionError("a path is never empty")


def _child(parent: yaml.MappingNode, key: str) -> yaml.Node | None:
    """The value of a key: of a duplicate the last one, which counts."""
    pairs = reversed(parent.value)
    return next((node for name, node in pairs if isinstance(name, yaml.ScalarNode) and name.value == key), None)


def _token(value: Any, path: Iterable[str] = ()) -> str:
    """A value below a path as one token: JSON is YAML's flow style, and quotes keep `0` and `on` text."""
    for key in reversed(tuple(path)):
        value = {key: value}
    return json.dumps(value)


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _replace(text: str, node: yaml.Node, value: Value) -> str:
    """Another value in a node's place; comments behind it stay."""
    start, end, new = node.start_mark.index, _end(text, node), _token(value)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and text[start] == "-":
        # A block list may begin at its parent's column, where only another block list may stand.
        gap = _line_end(text) + " " * node.start_mark.column
        new = gap.join(f"- {_token(one)}" for one in value) if isinstance(value, list) and value else f"  {new}"
    return _put(text, start, end, new)


def _put(text: str, start: int, end: int, new: str) -> str:
    space = "" if start == 0 or text[start - 1] in " \n\t[{," else " "
    return text[:start] + space + new + text[end:]


def _end(text: str, node: yaml.Node) -> int:
    """Where a node ends. The mark of a block collection lies behind the comments that follow it."""
    start, end = node.start_mark.index, node.end_mark.index
    end = start + len(text[start:end].rstrip())
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(end)
    last = node.value[-1]
    inner = _end(text, last[1] if isinstance(last, tuple) else last)
    return inner if start < inner < end else int(end)  # an alias ends elsewhere


def _insert(text: str, parent: yaml.MappingNode, path: list[str], value: Value) -> str:
    """Add a key that is not there: in block style as the last line of its mapping, or inside the braces."""
    if parent.flow_style:
        return _insert_in_braces(text, parent, _token(value, path)[1:-1])
    first, last = parent.value[0][0], parent.value[-1]
    indent = " " * first.start_mark.column
    lines = [f"{indent}{'  ' * depth}{key}:" for depth, key in enumerate(path)]
    lines[-1] += " " + _token(value)
    at = _end_of_line(text, last)
    line_end = _line_end(text)
    start = text[:at]
    if start and not start.endswith("\n"):
        start += line_end
    return start + line_end.join(lines) + line_end + text[at:]


def _insert_in_braces(text: str, parent: yaml.MappingNode, pair: str) -> str:
    """Behind the last value, where no comment can swallow it; or before the closing brace of an empty mapping."""
    at = parent.end_mark.index - 1
    if parent.value:
        key, node = parent.value[-1]
        # The marks of an alias are those of what it refers to, further up.
        at = max(key.end_mark.index, node.end_mark.index) if node.start_mark.index >= key.end_mark.index else at
    return text[:at] + (", " if parent.value else "") + pair + text[at:]


def _end_of_line(text: str, pair: tuple[yaml.Node, yaml.Node]) -> int:
    """Where the line after a key's value begins: behind the last line that holds something of it."""
    key, node = pair
    begin = key.end_mark.index
    end = max(begin, node.end_mark.index)
    if not (isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")):  # its blank lines are part of it
        end = begin + len(text[begin:end].rstrip()) + 1
    newline = text.find("\n", end - 1)
    return len(text) if newline < 0 else newline + 1


def with_changes(values: Mapping[str, Any], changes: Mapping[str, Value]) -> dict[str, Any]:
    """A copy in which each dotted path has its value."""
    changed = copy.deepcopy(dict(values))
    for path, value in changes.items():
        *above, last = path.split(".")
        place = changed
        for key in above:
            place[key] = place[key] if isinstance(place.get(key), dict) else {}
            place = place[key]
        place[last] = value
    return changed


def value_at(values: Any, path: str) -> Any:
    """The value at a dotted path; None where it is unset."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def contradictions(config: ProxyConfig, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Each path of `wanted` that the configuration has otherwise, as `mode is iptables, not ipvs`."""
    found = []
    for path, value in wanted.items():
        now, then = (one or _DEFAULTS.get(path) for one in (config.get(path), value))
        if not _same(path, now, then):
            found.append(f"{path} is {value_text(now)}, not {value_text(then)}")
    return tuple(found)


def _same(path: str, one: Any, other: Any) -> bool:
    if kind_of(path) == "duration" and isinstance(one, str) and isinstance(other, str):
        return seconds(one) == seconds(other)
    return bool(one == other) or (not one and not other)


def text_diff(before: str, after: str, label: str, then: str = "then") -> str:
    """A unified diff; empty where nothing changes."""
    now, later = (text.splitlines(keepends=True) for text in (before, after))
    return "".join(difflib.unified_diff(now, later, f"{label} (now)", f"{label} ({then})"))


def _cannot_edit(where: str) -> InputError:
    return InputError(
        f"{where}: amigen cannot edit this text without touching other fields",
        "nothing was changed; write the values of aliases (`*`) out, or edit it with `kubectl edit`",
    )

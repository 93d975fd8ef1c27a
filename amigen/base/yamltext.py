"""What all readers of YAML share: text and nodes within limits that a hostile document cannot pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

# The C parser, where PyYAML was built with it, is ten times faster; its composer would recurse in C.
_BASES: Any = (yaml.composer.Composer, yaml.CSafeLoader) if hasattr(yaml, "CSafeLoader") else (yaml.SafeLoader,)


class YamlError(ValueError):
    """What cannot be read, in a sentence with its line; line and column count from 1, 0 is unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(f"{message} (line {line})" if line else message)
        self.message, self.line, self.column, self.hint = message, line, column, hint


def decoded(content: bytes, encoding: str = "utf-8") -> str:
    """The text.

    Raises:
        YamlError: It is not in this encoding.
    """
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        place = place_behind(content[: error.start].decode(encoding))
        raise YamlError("is not UTF-8 text", *place, "save the file with the encoding UTF-8") from None


def place_behind(before: str) -> tuple[int, int]:
    """Line and column of what comes after a text, from 1."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


class Loader(*_BASES):  # type: ignore[misc]
    """A loader of PyYAML for which nesting has a limit.

    Args:
        deepest: Levels of mappings and lists.
    """

    # Whether an anchor may be defined twice; the last one counts then.
    redefines = False

    def __init__(self, text: str, deepest: int) -> None:
        _BASES[-1].__init__(self, text)
        self.anchors: dict[str, yaml.Node] = {}
        self.deepest = deepest
        self.depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node.

        Raises:
            YamlError: It is nested deeper.
            yaml.YAMLError: It cannot be parsed.
        """
        event = self.peek_event()
        if self.redefines and not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        nested = isinstance(event, yaml.CollectionStartEvent)
        self.depth += nested
        if self.depth > self.deepest:
            raise YamlError(f"is nested deeper than {self.deepest} levels", event.start_mark.line + 1, 1)
        node = super().compose_node(parent, index)
        self.depth -= nested
        return node

    def first_document(self) -> tuple[yaml.Node | None, bool]:
        """The root of the first document, and whether something follows it, be it YAML or not."""
        node = self.get_node() if self.check_node() else None
        try:
            return node, node is not None and self.check_node()
        except yaml.YAMLError:
            return node, True


def within_limits(root: yaml.Node | None, *, deepest: int, most: int) -> Iterator[yaml.Node]:
    """All nodes as a reader meets them, aliases at each use: a "billion laughs" ends within milliseconds.

    Raises:
        YamlError: They are more, or deeper.
    """
    seen = 0
    stack = [(root, 1)] if root else []
    while stack:
        node, depth = stack.pop()
        seen += 1
        place = node.start_mark.line + 1, node.start_mark.column + 1
        if depth > deepest:
            raise YamlError(f"is nested deeper than {deepest} levels (or an alias refers to itself)", *place)
        if seen > most:
            raise YamlError(f"holds more than {most} values, aliases counted at each use", *place)
        yield node
        if isinstance(node, yaml.MappingNode):
            stack += [(each, depth + 1) for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            stack += [(each, depth + 1) for each in node.value]

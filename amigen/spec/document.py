"""From bytes to a YAML node tree, within limits that a hostile file cannot pass.

The tree is composed and never constructed, so that no tag can make an object and each key and value keeps its place.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from amigen.base.errors import Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
# Aliases are followed, and each use counts: a "billion laughs" runs into this within milliseconds.
MAX_NODES = 50_000
# Characters of all values, for the same reason: thirty thousand aliases of one long text are 27 GB.
MAX_TEXT = 8 * MAX_BYTES

# The C parser, where PyYAML was built with it, is ten times faster; both give the same nodes and marks.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(Exception):
    """The bytes are not one well-formed YAML document; holds the problem with its place."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def compose(content: bytes) -> yaml.Node:
    """The node tree of the one document in `content`.

    Raises:
        DocumentError: Too large, not UTF-8, not YAML, empty, several documents, or nested or aliased beyond the limits.
    """
    if len(content) > MAX_BYTES:
        raise DocumentError(Problem(message=f"has more than {MAX_BYTES} bytes", hint="is it a spec?"))
    text = _decode(content)
    try:
        _depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_not_yaml(error, text)) from None
    except yaml.reader.ReaderError as error:
        # The position in the error counts bytes or characters, as the parser goes.
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        before = text[: found.start()] if found else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"contains the control character U+{ord(found[0]) if found else error.character:04X}"
        raise DocumentError(Problem(line=line, column=column, message=message, hint="remove it")) from None
    if node is None:
        raise DocumentError(Problem(message="is empty", hint="`amigen init` writes a first spec"))
    _limit(node)
    assert isinstance(node, yaml.Node)
    return node


# What the parser says of mistakes that are made often -> what to do.
_HINTS = {
    "mapping values are not allowed": "put text that holds `: ` into quotes, and indent the keys of a mapping equally",
    "did not find expected ',' or ']'": "close the list with `]`",
    "did not find expected ',' or '}'": "close the mapping with `}`",
    "found unexpected end of stream": "close the quotes",
}


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> Problem:
    """What the parser refuses; what is not closed is shown where it begins."""
    mark = error.problem_mark or error.context_mark
    message = " ".join(part for part in (error.context, error.problem) if part)
    if mark and error.context_mark and not text[mark.index :].strip():
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if mark and re.match(r" *\t", text[mark.index - mark.column :]):
        message = "the line is indented with a tab; YAML allows only spaces"
    if error.problem == "but found another document":
        return Problem(
            line=line, column=column, message="holds another document", hint="give each spec a file of its own"
        )
    hint = next((hint for words, hint in _HINTS.items() if words in message), "")
    return Problem(line=line, column=column, message=f"is not valid YAML: {message}", hint=hint)


def _decode(content: bytes) -> str:
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        hint = "save the file with the encoding UTF-8"
        raise DocumentError(Problem(line=line, column=column, message="is not UTF-8 text", hint=hint)) from None


def _depth(text: str) -> None:
    """Refuse deep nesting before composing: libyaml's composer recurses in C and takes the process down with it."""
    loader = _Loader(text)
    depth = 0
    try:
        while (event := loader.get_event()) is not None:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    line = event.start_mark.line + 1 if event.start_mark else 0
                    raise DocumentError(
                        Problem(line=line, column=1, message=f"is nested deeper than {MAX_DEPTH} levels")
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


def _limit(root: yaml.Node) -> None:
    """Count nodes, depth and text as the reader meets them, aliases included."""
    seen = text = 0
    stack: list[tuple[yaml.Node, int]] = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        seen += 1
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if depth > MAX_DEPTH:
            message = f"is nested deeper than {MAX_DEPTH} levels (or an alias refers to itself)"
            raise DocumentError(Problem(line=line, column=column, message=message))
        if seen > MAX_NODES:
            message = f"holds more than {MAX_NODES} values, aliases counted at each use"
            raise DocumentError(Problem(line=line, column=column, message=message))
        if isinstance(node, yaml.ScalarNode):
            text += len(node.value)
            if text > MAX_TEXT:
                message = f"holds more than {MAX_TEXT} characters, aliases counted at each use"
                raise DocumentError(Problem(line=line, column=column, message=message))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                stack.append((key, depth + 1))
                stack.append((value, depth + 1))
        elif isinstance(node, yaml.SequenceNode):
            stack.extend((child, depth + 1) for child in node.value)

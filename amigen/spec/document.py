"""From bytes to a YAML node tree, within limits that a hostile file cannot pass.

The tree is composed and never constructed, so that no tag can make an object and each key and value keeps its place.
"""

from __future__ import annotations

import re

import yaml

from amigen.base.yamltext import Loader, YamlError, decoded, place_behind, within_limits

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000
# Characters of all values, aliases at each use: thirty thousand aliases of one long text are 27 GB.
MAX_TEXT = 8 * MAX_BYTES


def compose(content: bytes) -> yaml.Node:
    """The node tree of the one document in `content`.

    Raises:
        YamlError: Too large, not UTF-8, not YAML, empty, several documents, or nested or aliased beyond the limits.
    """
    if len(content) > MAX_BYTES:
        raise YamlError(f"has more than {MAX_BYTES} bytes", hint="is it a spec?")
    text = decoded(content.removeprefix(b"\xef\xbb\xbf"))
    try:
        node = Loader(text, MAX_DEPTH).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text) from None
    except yaml.reader.ReaderError as error:
        # The position in the error counts bytes or characters, as the parser goes.
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        message = f"contains the control character U+{ord(found[0]) if found else error.character:04X}"
        raise YamlError(message, *place_behind(text[: found.start()] if found else ""), "remove it") from None
    if node is None:
        raise YamlError("is empty", hint="`amigen init` writes a first spec")
    length = 0
    for each in within_limits(node, deepest=MAX_DEPTH, most=MAX_NODES):
        length += len(each.value) if isinstance(each, yaml.ScalarNode) else 0
        if length > MAX_TEXT:
            place = each.start_mark.line + 1, each.start_mark.column + 1
            raise YamlError(f"holds more than {MAX_TEXT} characters, aliases counted at each use", *place)
    assert isinstance(node, yaml.Node)
    return node


# What the parser says of mistakes that are made often -> what to do.
_HINTS = {
    "mapping values are not allowed": "put text that holds `: ` into quotes, and indent the keys of a mapping equally",
    "did not find expected ',' or ']'": "close the list with `]`",
    "did not find expected ',' or '}'": "close the mapping with `}`",
    "found unexpected end of stream": "close the quotes",
}


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    """What the parser refuses; what is not closed is shown where it begins."""
    mark = error.problem_mark or error.context_mark
    message = " ".join(part for part in (error.context, error.problem) if part)
    if mark and error.context_mark and not text[mark.index :].strip():
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if mark and re.match(r" *\t", text[mark.index - mark.column :]):
        message = "the line is indented with a tab; YAML allows only spaces"
    if error.problem == "but found another document":
        return YamlError("holds another document", line, column, "give each spec a file of its own")
    hint = next((hint for words, hint in _HINTS.items() if words in message), "")
    return YamlError(f"is not valid YAML: {message}", line, column, hint)

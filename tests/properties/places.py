"""Places of a spec: where its texts stand, and where a finding points to."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.specs import GOLDEN

Place = tuple[str | int, ...]
# The spec that uses every field; tests/spec/test_schema.py tells about one that it lacks.
KITCHEN_SINK: dict[str, Any] = yaml.safe_load((GOLDEN / "kitchen-sink" / "spec.yaml").read_text())


def kitchen_sink() -> dict[str, Any]:
    """A copy that may be changed."""
    copy: dict[str, Any] = json.loads(json.dumps(KITCHEN_SINK))
    return copy


def texts(node: Any, place: Place = ()) -> Iterator[Place]:
    """Places whose value is a text."""
    if isinstance(node, str):
        yield place
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, (*place, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from texts(value, (*place, index))


def keyed(node: Any, place: Place = ()) -> Iterator[Place]:
    """Places whose key is the user's own: entries of sysctls, tags, labels, mirrors and the like."""
    own = ("sysctls", "labels", "tags", "mirrors", "sourceAmis", "bases", "instanceTypes", "regionKmsKeyIds")
    if isinstance(node, dict):
        for key, value in node.items():
            if place and place[-1] in own:
                yield (*place, key)
            yield from keyed(value, (*place, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from keyed(value, (*place, index))


TEXTS = list(texts(KITCHEN_SINK))
KEYED = list(keyed(KITCHEN_SINK))


def at(document: Any, place: Place) -> Any:
    """What stands there; LookupError or TypeError where nothing does."""
    for step in place:
        document = document[step]
    return document


def put(document: Any, place: Place, value: Any) -> None:
    """Set a value."""
    at(document, place[:-1])[place[-1]] = value


def rename(document: Any, place: Place, key: str) -> None:
    """Give an entry another key."""
    parent = at(document, place[:-1])
    parent[key] = parent.pop(place[-1])


_STEP = re.compile(
    r"""\.?(?P<word>[A-Za-z0-9_-]+)|\[(?P<index>\d+)\]|"""
    r"""\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]"""
)


def steps(path: str) -> Place:
    """A finding's key path (`sysctls['net.core.x']`, `files[0].path`) as a place."""
    found: list[str | int] = []
    end = 0
    while end < len(path):
        match = _STEP.match(path, end)
        assert match, f"not a key path: {path!r}"
        if match["index"]:
            found.append(int(match["index"]))
        else:
            found.append(match["word"] if match["word"] else ast.literal_eval(match["quoted"]))
        end = match.end()
    return tuple(found)


def is_there(document: Any, place: Place) -> bool:
    """Whether a place is in the document, or a mapping that could hold it: a rule may name a field with its default."""
    for step in place:
        try:
            document = document[step]
        except (LookupError, TypeError):
            return isinstance(document, dict)
    return True

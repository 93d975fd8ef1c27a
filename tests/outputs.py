"""The documents of `--output json`, held against the schemas that `amigen schema` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema

from amigen.cli.outputs import OUTPUTS, schema_of


def require_valid(arguments: Sequence[str], out: str) -> None:
    """What a command printed is as its schema says, without a field that the schema does not name.

    Nothing is looked at where it was not asked for JSON, or where nothing was printed.
    """
    if "json" not in arguments[1:] or arguments[arguments.index("json") - 1] != "--output" or not out:
        return
    words = [word for word in arguments if not word.startswith("-")]
    name = next((name for name in OUTPUTS if words[: len(name.split())] == name.split()), None)
    if name is None:
        return
    _validator(name).validate(json.loads(out))


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_closed(schema_of(name)))


def _closed(schema: Any) -> Any:
    """The same schema; an object has no other fields than those that it names."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            closed.setdefault("additionalProperties", False)
        return closed
    return [_closed(each) for each in schema] if isinstance(schema, list) else schema

"""The JSON Schema of the spec, made from the model."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from amigen.spec import model

SCHEMA_ID = "urn:amigen:schema:v1alpha1:NodeImage"


@cache
def descriptions() -> dict[str, dict[str, str]]:
    """What the fields of the model are: name of a class -> attribute -> the text below it in the source."""
    return {
        class_.name: {
            ast.unparse(field.target): " ".join(ast.literal_eval(text.value).split())
            for field, text in pairwise(class_.body)
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
        }
        for class_ in ast.parse(inspect.getsource(model)).body
        if isinstance(class_, ast.ClassDef)
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec, for editors and for check-jsonschema."""
    schema = msgspec.json.schema(model.NodeImage)
    for name, definition in schema["$defs"].items():
        texts, properties = descriptions()[name], definition["properties"]
        for attribute, key in zip(getattr(model, name).__struct_fields__, properties, strict=True):
            properties[key] = {"description": ""} | properties[key] | {"description": texts[attribute]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"{model.API_VERSION} NodeImage",
        **schema,
    }

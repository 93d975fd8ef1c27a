"""The JSON Schema of the spec, made from the model."""

from __future__ import annotations

from typing import Any

import msgspec

from amigen.spec.model import API_VERSION, NodeImage

SCHEMA_ID = "urn:amigen:schema:v1alpha1:NodeImage"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec, for editors and for check-jsonschema."""
    schema = msgspec.json.schema(NodeImage)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"{API_VERSION} NodeImage",
        **schema,
    }

"""What AWSTOE takes as the document of a component, by its documentation; the program itself is not to be had here.

Sources: github.com/awsdocs/ec2-image-builder-user-guide at 050ec06, doc_source/toe-use-documents.md (the schema, and
the rules for phases and steps), and at 1030a94, doc_source/toe-action-modules.md (ExecuteBash, Reboot).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

# The inputs of an action, of the actions that amigen uses.
INPUTS: dict[str, dict[str, Any]] = {
    "ExecuteBash": {
        "required": ["commands"],
        "properties": {"commands": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
    },
    "Reboot": {"properties": {"delaySeconds": {"type": "integer", "minimum": 0}}},
}
STEP = {
    "type": "object",
    "required": ["name", "action", "inputs"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "action": {"enum": [*INPUTS]},
        "onFailure": {"enum": ["Abort", "Continue", "Ignore"]},
        # -1 is without limit; 0 and other negative values are not allowed.
        "timeoutSeconds": {"type": "integer", "anyOf": [{"const": -1}, {"minimum": 1}]},
        "maxAttempts": {"type": "integer", "minimum": 1},
        "inputs": {"type": "object"},
    },
    "allOf": [
        {
            "if": {"properties": {"action": {"const": action}}},
            "then": {"properties": {"inputs": {**inputs, "additionalProperties": False}}},
        }
        for action, inputs in INPUTS.items()
    ]
    # "Step timeout is not supported for the Reboot action module."
    + [{"if": {"properties": {"action": {"const": "Reboot"}}}, "then": {"not": {"required": ["timeoutSeconds"]}}}],
}
SCHEMA = {
    "type": "object",
    "required": ["schemaVersion", "phases"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        # A string by the table, and 1.0 without quotes in each of its examples.
        "schemaVersion": {"enum": [1.0, "1.0"]},
        "phases": {
            "type": "array",
            "minItems": 1,
            "contains": {"properties": {"name": {"enum": ["build", "validate", "test"]}}},
            "items": {
                "type": "object",
                "required": ["name", "steps"],
                "additionalProperties": False,
                "properties": {"name": {"type": "string"}, "steps": {"type": "array", "minItems": 1, "items": STEP}},
            },
        },
    },
}


def findings(document: Any) -> Iterator[str]:
    """What the documentation refuses in a document, as read from its YAML."""
    wrong = [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]
    if wrong:
        yield from wrong
        return
    names = [phase["name"] for phase in document["phases"]]
    if len(names) != len({*names}):
        yield "each phase name must be unique within a document"
    for phase in document["phases"]:
        steps = [step["name"] for step in phase["steps"]]
        if len(steps) != len({*steps}):
            yield f"the step name must be unique for the phase {phase['name']}"
        # `{{` begins a reference to a variable, or to the input or output of another step.
        yield from (f"{step['name']} holds a reference" for step in phase["steps"] if "{{" in str(step["inputs"]))

"""The add-on's `configurationValues`: merged with what is wanted, held against its schema, shown as a call. Pure.

Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAddon.html, API_DescribeAddonConfiguration.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jsonschema import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from amigen.base import goyaml
from amigen.base.errors import AwsError, ConflictError, InputError, RefusedError
from amigen.kubeproxy.config import with_changes
from amigen.kubeproxy.settings import Settings

ADDON = "kube-proxy"
Resolve: TypeAlias = Literal["OVERWRITE", "PRESERVE", "NONE"]

RESOLVE_MEANS: dict[Resolve, str] = {
    "OVERWRITE": "what was edited by hand in the cluster goes back to the add-on's configuration",
    "PRESERVE": "what was edited by hand in the cluster stays, also where it contradicts this change",
    "NONE": "what was edited by hand in the cluster stays, and the update fails where it contradicts",
}


@dataclass(frozen=True, kw_only=True)
class Update:
    """An update that is under way; `values` are those that it sets, empty where EKS does not say them."""

    id: str
    values: str = ""


def followed(running: Update | None, current: str, wanted: str) -> str:
    """The id of the update that is under way, where it is the wanted one; empty without one.

    Raises:
        ConflictError: It is another one: its values would be lost, or these refused.
    """
    if running is None:
        return ""
    if read_values(running.values or current) == read_values(wanted):
        return running.id
    raise ConflictError(
        f"another update of the add-on, {running.id}, is under way",
        "wait for it (`aws eks describe-update`), run `amigen kube-proxy plan` again, then repeat",
    )


def merged(current: str, settings: Settings) -> str:
    """What is configured now with the wanted settings in it, as JSON in a stable order.

    Raises:
        InputError: The current values cannot be read.
    """
    return json.dumps(with_changes(read_values(current), settings.changes), sort_keys=True)


def read_values(text: str) -> dict[str, Any]:
    """`configurationValues`, JSON or YAML (EKS takes both), as a mapping.

    Raises:
        InputError: Neither.
    """
    try:
        values = goyaml.read(text.encode()).value if text.strip() else {}
    except ValueError as error:
        raise InputError(f"the add-on's configurationValues: {error}") from None
    if not isinstance(values, dict):
        raise InputError("the add-on's configurationValues are not a mapping")
    return values


def validate(values: str, schema: Mapping[str, Any], version: str, other_way: str) -> None:
    """Refuse what the add-on's schema cannot express, before anything is changed.

    Args:
        other_way: How to apply it without the add-on.

    Raises:
        RefusedError: With every violation.
        AwsError: The published schema is itself not valid.
    """
    unusable = f"the schema of {ADDON} {version} is not a valid JSON schema"
    try:
        cls = validator_for(schema)
        cls.check_schema(schema)
        # The registry of its own: a schema must not make amigen fetch what it refers to.
        errors = cls(schema, registry=Registry()).iter_errors(json.loads(values))
        found = sorted(errors, key=lambda error: list(map(str, error.absolute_path)))
    except SchemaError as error:
        raise AwsError(f"{unusable}: {error.message}") from None
    except (Unresolvable, RecursionError, re.error, TypeError, AttributeError) as error:
        raise AwsError(f"{unusable}: {type(error).__name__}: {error}") from None
    if found:
        lines = [f"the add-on {ADDON} {version} cannot express this; nothing was changed:"]
        for violation in found:
            path = ".".join(str(part) for part in violation.absolute_path)
            lines.append(f"  {path or '(top)'}: {violation.message}")
        raise RefusedError("\n".join(lines), other_way)


def call_text(cluster: str, values: str, resolve: Resolve) -> str:
    """The call as a command of the AWS CLI, for the plan: whoever copies it runs this and nothing else."""
    words = ["aws", "eks", "update-addon", "--cluster-name", cluster or "CLUSTER", "--addon-name", ADDON]
    words += ["--configuration-values", values, "--resolve-conflicts", resolve]
    return f"eks:UpdateAddon: {shlex.join(words)}"

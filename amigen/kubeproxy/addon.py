"""The EKS add-on kube-proxy: its `configurationValues`, the schema that it publishes, and its updates.

Sources: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAddon.html, API_DescribeAddonConfiguration and
API_DescribeUpdate. botocore's waiter `addon_active` is not used: it may see ACTIVE before the update has begun and
does not fail on UPDATE_FAILED, so the update itself is polled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from jsonschema import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.base import goyaml
from amigen.base.errors import AwsError, ConflictError, InputError, RefusedError
from amigen.base.waiting import attempts
from amigen.kubeproxy.config import with_changes
from amigen.kubeproxy.settings import Settings

if TYPE_CHECKING:  # boto3 is imported where an EKS cluster is known
    from amigen.aws.session import Aws

_POLL_SECONDS = 5.0

ADDON = "kube-proxy"
Resolve: TypeAlias = Literal["OVERWRITE", "PRESERVE", "NONE"]

# What an update's error code asks for (EKS API reference, ErrorDetail).
_EXPLAIN: dict[str, str] = {
    "ConfigurationConflict": "somebody edited fields that the add-on owns: repeat with --resolve-conflicts OVERWRITE"
    " (their edit goes) or PRESERVE (this change does not reach those fields)",
    "InsufficientNumberOfReplicas": "kube-proxy's pods do not get ready: look at them with"
    " `kubectl -n kube-system describe pods -l k8s-app=kube-proxy`",
    "AccessDenied": "EKS lost its rights in the cluster: the ClusterRole eks:addon-manager must be as EKS made it",
    "AdmissionRequestDenied": "an admission webhook of the cluster denies the change",
    "UnsupportedAddonModification": "the add-on cannot be changed this way",
    "K8sResourceNotFound": "an object of the add-on was deleted: repeat with --resolve-conflicts OVERWRITE",
    "ClusterUnreachable": "EKS cannot reach the cluster's API server; try again later",
}


@dataclass(frozen=True, kw_only=True)
class AddonState:
    """The add-on as it is.

    Attributes:
        values: Its `configurationValues` as text; empty: none were ever set.
        status: Such as ACTIVE or UPDATE_FAILED.
    """

    version: str
    values: str
    status: str
    issues: tuple[str, ...] = ()


class Addon:
    """The add-on of one cluster. Where a call fails, it raises AwsError."""

    def __init__(self, aws: Aws, cluster: str, region: str) -> None:
        self._aws = aws
        self.cluster = cluster
        self._region = region

    @property
    def _what(self) -> str:
        return f"add-on {ADDON} of cluster {self.cluster}"

    def _call(self, call: Call, **params: Any) -> dict[str, Any]:
        return self._aws.call(call, self._region, self._what, addonName=ADDON, **params)

    def read(self) -> AddonState | None:
        """The add-on; None where EKS lists none."""
        try:
            found = self._call(calls.DESCRIBE_ADDON, clusterName=self.cluster)["addon"]
        except CallError as error:
            # The same code for an unknown cluster: only the message tells them apart.
            if error.code != "ResourceNotFoundException" or "no cluster" in error.message.lower():
                raise
            return None
        issues = (found.get("health") or {}).get("issues") or []
        return AddonState(
            version=found.get("addonVersion", ""),
            values=found.get("configurationValues") or "",
            status=found.get("status", ""),
            issues=tuple(f"{one.get('code')}: {one.get('message')}" for one in issues),
        )

    def schema(self, version: str) -> dict[str, Any]:
        """The JSON schema that this version of the add-on publishes."""
        answer = self._call(calls.DESCRIBE_ADDON_CONFIGURATION, addonVersion=version)
        try:
            return msgspec.json.decode(answer["configurationSchema"], type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            what = f"the schema of {ADDON} {version} is not a JSON object"
            raise AwsError(f"DescribeAddonConfiguration: {what}") from None

    def update(self, values: str, resolve: Resolve) -> str:
        """Start the update; its id. botocore adds the clientRequestToken, so its own retries start no second one.

        Raises:
            ConflictError: Another one is under way.
        """
        wanted = {"configurationValues": values, "resolveConflicts": resolve}
        try:
            return str(self._call(calls.UPDATE_ADDON, clusterName=self.cluster, **wanted)["update"]["id"])
        except CallError as error:
            if error.code != "ResourceInUseException":
                raise
            raise ConflictError(
                f"another update of {ADDON} is under way: {error.message}",
                "wait for it (`aws eks list-updates`), run `amigen kube-proxy plan` again, then repeat",
            ) from None

    def under_way(self) -> tuple[str, str]:
        """Id and values of the update that is in progress, amigen's own or another; empty: none, or not said."""
        updates = {"name": self.cluster, "addonName": ADDON}
        for update_id in self._aws.pages(calls.LIST_ADDON_UPDATES, self._region, self._what, **updates):
            found = self._update(update_id)
            if found.get("status") == "InProgress":
                params = {one.get("type"): one.get("value") for one in found.get("params") or []}
                return str(update_id), params.get("ConfigurationValues") or ""
        return "", ""

    def _update(self, update_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call(calls.DESCRIBE_ADDON_UPDATE, name=self.cluster, updateId=update_id)["update"]
        return found

    def follow(self, update_id: str, *, seconds: float, say: Callable[[str], None]) -> None:
        """Poll the update to its end.

        Raises:
            AwsError: It failed, was cancelled, or did not end in time; each error is explained.
        """
        for _ in attempts(seconds=seconds, every=_POLL_SECONDS):
            found = self._update(update_id)
            status = found.get("status")
            say(f"add-on update {update_id}: {status}")
            if status == "Successful":
                return
            if status in ("Failed", "Cancelled"):
                raise _failed(update_id, str(status), found.get("errors") or [])
        raise AwsError(
            f"add-on update {update_id} is still {status} after {seconds:.0f} s",
            f"it is still running: `aws eks describe-update --name {self.cluster} --addon-name {ADDON}"
            f" --update-id {update_id}`",
        )


def _failed(update_id: str, status: str, errors: list[Mapping[str, Any]]) -> AwsError:
    lines = [f"add-on update {update_id}: {status}"]
    for error in errors:
        code = str(error.get("errorCode"))
        what = ", ".join(error.get("resourceIds") or [])
        lines.append(f"  {code}: {error.get('errorMessage')}" + (f" ({what})" if what else ""))
        if code in _EXPLAIN:
            lines.append(f"    {_EXPLAIN[code]}")
    return AwsError("\n".join(lines))


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

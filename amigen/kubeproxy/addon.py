"""The EKS add-on kube-proxy: read, validate against the schema that it publishes, update, follow.

Sources: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAddon.html, API_DescribeAddonConfiguration and
API_DescribeUpdate. botocore's waiter `addon_active` is not used: it may see ACTIVE before the update has begun and
does not fail on UPDATE_FAILED, so the update itself is polled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amigen.aws.answer import Fields, ask
from amigen.base.errors import AwsError, ConflictError
from amigen.kubeproxy.addon_values import ADDON, Resolve, Update

_POLL_SECONDS = 5.0
_PAGES = 1000  # of the list of updates

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
    """The add-on of one cluster, through a botocore client of `eks`.

    Args:
        client: The client, of `amigen.aws`.
        cluster: Name of the cluster.
        sleep: Waits so many seconds.
        monotonic: A clock for deadlines.
    """

    def __init__(
        self,
        client: Any,
        cluster: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.cluster = cluster
        self._sleep = sleep
        self._monotonic = monotonic

    def read(self) -> AddonState | None:
        """The add-on; None where EKS lists none. Raises AwsError where EKS cannot be asked."""
        try:
            found = self._ask("DescribeAddon", clusterName=self.cluster, addonName=ADDON)["addon"]
        except self._client.exceptions.ResourceNotFoundException as error:
            # The same error for an unknown cluster: only its message tells them apart.
            if "cluster" in _message(error).lower() and "addon" not in _message(error).lower().replace(
                "add-on", "addon"
            ):
                raise AwsError(f"DescribeAddon: {_message(error)}", "check --cluster-name and --region") from None
            return None
        except Exception as error:
            raise _explained("DescribeAddon", self.cluster, error) from None
        issues = (found.get("health") or {}).get("issues") or []
        return AddonState(
            version=found.get("addonVersion", ""),
            values=found.get("configurationValues") or "",
            status=found.get("status", ""),
            issues=tuple(f"{one.get('code')}: {one.get('message')}" for one in issues),
        )

    def schema(self, version: str) -> dict[str, Any]:
        """The JSON schema that this version of the add-on publishes."""
        try:
            answer = self._ask("DescribeAddonConfiguration", addonName=ADDON, addonVersion=version)
            schema = json.loads(answer["configurationSchema"])
        except (ValueError, RecursionError):
            raise AwsError(f"DescribeAddonConfiguration: the schema of {ADDON} {version} is not JSON") from None
        except Exception as error:
            raise _explained("DescribeAddonConfiguration", self.cluster, error) from None
        if not isinstance(schema, dict):
            raise AwsError(f"DescribeAddonConfiguration: the schema of {ADDON} {version} is not an object")
        return schema

    def update(self, values: str, resolve: Resolve) -> str:
        """Start the update; its id. botocore adds the clientRequestToken, so its own retries start no second one."""
        try:
            answer = self._ask(
                "UpdateAddon",
                clusterName=self.cluster,
                addonName=ADDON,
                configurationValues=values,
                resolveConflicts=resolve,
            )
        except self._client.exceptions.ResourceInUseException as error:
            raise ConflictError(
                f"UpdateAddon: another update of {ADDON} is under way: {_message(error)}",
                "wait for it (`aws eks list-updates`), run `amigen kube-proxy plan` again, then repeat",
            ) from None
        except Exception as error:
            raise _explained("UpdateAddon", self.cluster, error) from None
        return str(answer["update"]["id"])

    def under_way(self) -> Update | None:
        """The update that is in progress, amigen's own or another; None without one."""
        try:
            token: dict[str, str] = {}
            for _ in range(_PAGES):
                page = self._ask("ListUpdates", name=self.cluster, addonName=ADDON, **token)
                for update_id in page["updateIds"]:
                    found = self._update(update_id)
                    if found.get("status") == "InProgress":
                        params = {one.get("type"): one.get("value") for one in found.get("params") or []}
                        return Update(id=str(update_id), values=params.get("ConfigurationValues") or "")
                if not page.get("nextToken"):
                    return None
                token = {"nextToken": page["nextToken"]}
        except Exception as error:
            raise _explained("ListUpdates", self.cluster, error) from None
        raise AwsError(f"ListUpdates for cluster {self.cluster} returns too many pages")

    def _ask(self, operation: str, **params: Any) -> Fields:
        return ask(self._client, operation, f"eks:{operation} for cluster {self.cluster}", **params)

    def _update(self, update_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("DescribeUpdate", name=self.cluster, updateId=update_id, addonName=ADDON)[
            "update"
        ]
        return found

    def follow(self, update_id: str, *, seconds: float, say: Callable[[str], None]) -> None:
        """Poll the update to its end.

        Raises:
            AwsError: It failed, was cancelled, or did not end in time; each error is explained.
        """
        deadline = self._monotonic() + seconds
        while True:
            try:
                found = self._update(update_id)
            except Exception as error:
                raise _explained("DescribeUpdate", self.cluster, error) from None
            status = found.get("status")
            say(f"add-on update {update_id}: {status}")
            if status == "Successful":
                return
            if status in ("Failed", "Cancelled"):
                raise _failed(update_id, str(status), found.get("errors") or [])
            if self._monotonic() >= deadline:
                raise AwsError(
                    f"add-on update {update_id} is still {status} after {seconds:.0f} s",
                    f"it is still running: `aws eks describe-update --name {self.cluster} --addon-name {ADDON}"
                    f" --update-id {update_id}`",
                )
            self._sleep(_POLL_SECONDS)


def _failed(update_id: str, status: str, errors: list[Mapping[str, Any]]) -> AwsError:
    lines = [f"add-on update {update_id}: {status}"]
    for error in errors:
        code = str(error.get("errorCode"))
        what = ", ".join(error.get("resourceIds") or [])
        lines.append(f"  {code}: {error.get('errorMessage')}" + (f" ({what})" if what else ""))
        if code in _EXPLAIN:
            lines.append(f"    {_EXPLAIN[code]}")
    return AwsError("\n".join(lines))


def _message(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str((response.get("Error") or {}).get("Message") or error)


def _explained(call: str, cluster: str, error: Exception) -> AwsError:
    """An error of botocore as ours: names the call and the cluster."""
    if isinstance(error, AwsError):
        return error
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        known = type(error).__module__.startswith(("botocore", "boto3"))
        if not known:
            raise error
        return AwsError(f"{call} for cluster {cluster}: {error}", "check the AWS credentials, --profile and --region")
    code = str((response.get("Error") or {}).get("Code"))
    hint = {
        "AccessDeniedException": f"the caller needs the IAM action eks:{call}",
        "InvalidParameterException": "EKS refuses a value; `aws eks describe-addon-configuration` shows the schema",
        "ResourceNotFoundException": "check --cluster-name and --region",
        "ExpiredTokenException": "log in to AWS again",
        "UnrecognizedClientException": "the AWS credentials are not valid",
    }.get(code, "")
    return AwsError(f"{call} for cluster {cluster}: {code}: {_message(error)}", hint)

"""The IAM policy with exactly what the calls of a purpose need, made of the table of calls. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amigen.aws.calls import CALLS
from amigen.aws.grants import Grant, Purpose
from amigen.aws.model import partition_of
from amigen.aws.packer import PACKER_CALLS
from amigen.build.calls import ALL as BUILD_CALLS
from amigen.publish import names
from amigen.spec.model import NodeImage

# IAM's limit for a managed policy, white space not counted
# (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
LIMIT = 6144


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What narrows the policy beyond the spec; `*` where nothing does.

    Attributes:
        tag: Key and value of the instances that `fleet verify` may look at.
    """

    account: str = "*"
    group: str = "*"
    cluster: str = "*"
    nodegroup: str = "*"
    tag: tuple[str, str] | None = None


def policy(spec: NodeImage, purposes: Sequence[Purpose], scope: Scope | None = None) -> dict[str, Any]:
    """A policy document.

    Args:
        spec: Names, regions, keys and profiles come from it.
        purposes: Of which calls.
        scope: Narrower than the spec says.
    """
    grants = [
        grant
        for call in (*CALLS, *BUILD_CALLS, *PACKER_CALLS)
        if set(call.purposes) & set(purposes)
        for grant in call.grants
        if _needed(grant, spec)
    ]
    merged: dict[str, tuple[set[str], list[str], dict[str, Any], set[str]]] = {}
    for grant in grants:
        for resources, condition in _filled(grant, spec, scope or Scope()):
            made_by = condition.get("StringEquals", {}).pop("ec2:CreateAction", None)
            # Each call tags only what it makes, so that those of all calls are one statement.
            key = json.dumps([[] if made_by else resources, condition, made_by is None], sort_keys=True)
            actions, known, _, makers = merged.setdefault(key, (set(), [], condition, set()))
            actions.add(grant.action)
            known += [each for each in resources if each not in known]
            makers |= {made_by} if made_by else set()
    return {"Version": "2012-10-17", "Statement": [_statement(*parts) for parts in merged.values()]}


def size(document: dict[str, Any]) -> int:
    """Characters as IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def _statement(actions: set[str], resources: list[str], condition: dict[str, Any], makers: set[str]) -> dict[str, Any]:
    """One statement; `makers` are the calls that may give tags while they make things."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    if makers:
        by = sorted(makers) if len(makers) > 1 else next(iter(makers))
        condition = {**condition, "StringEquals": {**condition["StringEquals"], "ec2:CreateAction": by}}
    return {**statement, "Condition": condition} if condition else statement


def _needed(grant: Grant, spec: NodeImage) -> bool:
    aws = spec.aws
    if grant.when == "kms-key":
        return bool(aws.encryption.enabled and (aws.encryption.kms_key_id or aws.encryption.region_kms_key_ids))
    if grant.when == "instance-profile":
        return bool(aws.iam_instance_profile or aws.launch_template.iam_instance_profile)
    if grant.when == "network":
        return bool(aws.vpc_id or aws.subnet_id)
    return {
        "always": True,
        "resolved-parameter": aws.launch_template.resolve_ssm_parameter,
        "source-parameter": any(_own_parameters(spec)),
        "deprecation": aws.deprecate_after_days is not None,
        "session-manager": aws.communicator == "session-manager",
    }[grant.when]


def _filled(grant: Grant, spec: NodeImage, scope: Scope) -> Iterable[tuple[list[str], dict[str, Any]]]:
    """Resources and condition of a grant, filled in; once per parameter where it is about those of the spec."""
    regions = list(names.regions(spec))
    sources = sorted(_own_parameters(spec)) if grant.when == "source-parameter" else [""]
    for source in sources:
        values = {
            "p": partition_of(regions[0]),
            "a": scope.account,
            "name": spec.name,
            "group": scope.group,
            "cluster": scope.cluster,
            "nodegroup": scope.nodegroup,
            "tag": scope.tag[0] if scope.tag else names.TAG_NAME,
            "value": scope.tag[1] if scope.tag else spec.name,
            "source": source,
        }
        condition: dict[str, Any] = {
            operator: {key.format_map(values): _fill(value, values) for key, value in each.items()}
            for operator, each in grant.condition.items()
        }
        # IAM itself is in one region only, whatever region passes the role.
        if not grant.action.startswith("iam:"):
            condition["StringEquals"] = {**condition.get("StringEquals", {}), "aws:RequestedRegion": regions}
        yield [resource.format_map(values) for resource in grant.resources], condition


def _fill(value: str | tuple[str, ...], values: dict[str, str]) -> str | list[str]:
    return value.format_map(values) if isinstance(value, str) else [each.format_map(values) for each in value]


def _own_parameters(spec: NodeImage) -> set[str]:
    """Parameters of the user's own that name base images."""
    found = {
        source.ssm_parameter.replace("{arch}", target.distribution_arch)
        for target in names.targets(spec)
        if (source := spec.aws.source_amis.get(target.platform)) and source.ssm_parameter
    }
    return {parameter for parameter in found if not parameter.startswith("/aws/service/")}

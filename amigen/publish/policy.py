"""The IAM policy with exactly what the calls of a purpose need, made of the table of calls. Pure."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amigen.aws.build_calls import ALL as BUILD_CALLS
from amigen.aws.calls import CALLS
from amigen.aws.grants import Grant, Purpose
from amigen.aws.model import partition_of
from amigen.aws.packer import PACKER_CALLS
from amigen.base.errors import InputError
from amigen.plan.source import source_of
from amigen.publish import names
from amigen.spec.model import NodeImage

# IAM's limit for a managed policy, white space not counted
# (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
LIMIT = 6144
# Actions that take resources of several types; every other one ignores the resources of other types in a statement
# (https://docs.aws.amazon.com/service-authorization/latest/reference/, column "Resource types" of each action).
_OF_MANY_TYPES = {
    "ec2:CopyImage",
    "ec2:CreateImage",
    "ec2:CreateImageUsageReport",
    "ec2:CreateSecurityGroup",
    "ec2:CreateTags",
    "ec2:RunInstances",
    "eks:DescribeUpdate",
    "eks:ListUpdates",
    "ssm:SendCommand",
    "ssm:StartSession",
}
# Actions, resources, condition, and the calls that may give tags while they make things.
_Parts = tuple[set[str], list[str], dict[str, Any], set[str]]


# What may stand in an ARN: `*` alone, or a name without IAM's wildcards (`*`, `?`) and variables (`${`).
_SCOPES = {
    "account": (r"\*|[0-9]{12}", "an account id: 12 digits"),
    "cluster": (r"\*|[0-9A-Za-z][0-9A-Za-z_-]{0,99}", "the name of an EKS cluster"),
    "nodegroup": (r"\*|[0-9A-Za-z][0-9A-Za-z_-]{0,62}", "the name of a node group"),
    "group": (r"\*|[^\x00-\x1f:*?$]{1,255}", "the name of an Auto Scaling group"),
    "parameters": (r"[A-Za-z0-9_./-]+", "the name of an SSM parameter"),
    "roles": (r"[A-Za-z0-9_+=,.@/-]+", "the name of a role"),
}


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What narrows the policy beyond the spec; `*` where nothing does.

    Attributes:
        tag: Key and value of the instances that `fleet verify` may look at.
        roles: Names of the roles that the instance profiles hold; empty: each has the name of its profile.
        parameters: Names of SSM parameters of others that launch templates of the account name their images by.

    Raises:
        InputError: Something of it may not stand in an ARN.
    """

    account: str = "*"
    group: str = "*"
    cluster: str = "*"
    nodegroup: str = "*"
    tag: tuple[str, str] | None = None
    roles: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, (pattern, words) in _SCOPES.items():
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                # It would be a policy that grants nothing, or more than it says.
                if not re.fullmatch(pattern, each):
                    hint = "IAM's wildcards are not taken in a name"
                    raise InputError(f"--{name.removesuffix('s')}: {each!r} is not {words}", hint)


def policy(spec: NodeImage, purposes: Sequence[Purpose], scope: Scope | None = None) -> dict[str, Any]:
    """A policy document.

    Args:
        spec: Names, regions, keys and profiles come from it.
        purposes: Of which calls.
        scope: Narrower than the spec says.
    """
    scope = scope or Scope()
    holds = needs(spec, scope)
    grants = [
        grant
        for call in (*CALLS, *BUILD_CALLS, *PACKER_CALLS)
        if set(call.purposes) & set(purposes)
        for grant in call.grants
        if all(holds[need] for need in grant.when)
    ]
    merged: dict[str, _Parts] = {}
    for grant in grants:
        for resources, condition in _filled(grant, spec, scope):
            made_by = condition.get("StringEquals", {}).pop("ec2:CreateAction", None)
            # Each call tags only what it makes, so that those of all calls are one statement.
            key = json.dumps([[] if made_by else resources, condition, made_by is None], sort_keys=True)
            actions, known, _, makers = merged.setdefault(key, (set(), [], condition, set()))
            actions.add(grant.action)
            known += [each for each in resources if each not in known]
            makers |= {made_by} if made_by else set()
    folded: list[_Parts] = []
    for parts in merged.values():
        beside = next((each for each in folded if _fit(each, parts)), None)
        if beside is None:
            folded.append(parts)
        else:
            beside[0].update(parts[0])
            beside[1].extend(resource for resource in parts[1] if resource not in beside[1])
    return {"Version": "2012-10-17", "Statement": [_statement(*parts) for parts in folded]}


def size(document: dict[str, Any]) -> int:
    """Characters as IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def notes(spec: NodeImage, document: dict[str, Any], scope: Scope) -> list[str]:
    """What whoever attaches the policy should know."""
    out = []
    profiles = {spec.aws.iam_instance_profile, spec.aws.launch_template.iam_instance_profile} - {None}
    if profiles and not scope.roles:
        named = ", ".join(sorted(map(str, profiles)))
        out.append(f"the role of the instance profile is assumed to have its name: {named} (--role)")
    if any("iam:PutRolePolicy" in statement["Action"] for statement in document["Statement"]):
        out.append(
            "for aws.builder.instanceProfilePolicy this allows to give any permission to roles named packer-*;"
            " aws.iamInstanceProfile needs none of that"
        )
    if size(document) > LIMIT:
        out.append(
            f"{size(document)} characters, and a managed policy takes {LIMIT}: print one per purpose (--for), or"
            " divide the statements among several policies"
        )
    return out


def _fit(one: _Parts, other: _Parts) -> bool:
    """Whether two statements can be one that allows no more than they do."""
    types = [{resource.split(":", 5)[-1].partition("/")[0] for resource in parts[1]} for parts in (one, other)]
    return (
        one[2:] == other[2:]
        and not (one[0] | other[0]) & _OF_MANY_TYPES
        and "*" not in types[0] | types[1]
        and not types[0] & types[1]
    )


def _statement(actions: set[str], resources: list[str], condition: dict[str, Any], makers: set[str]) -> dict[str, Any]:
    """One statement; `makers` are the calls that may give tags while they make things."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    if makers:
        by = sorted(makers) if len(makers) > 1 else next(iter(makers))
        condition = {**condition, "StringEquals": {**condition["StringEquals"], "ec2:CreateAction": by}}
    return {**statement, "Condition": condition} if condition else statement


def needs(spec: NodeImage, scope: Scope) -> dict[str, bool]:
    """What permissions depend on, by its name in `Grant.when`: whether it holds for this spec and Packer."""
    aws = spec.aws
    china, gov = aws.region.startswith("cn-"), aws.region.startswith("us-gov-")
    public = aws.associate_public_ip is not None
    subnet = bool(aws.subnet_id or aws.builder.subnet_filter)
    spot = aws.builder.spot is not None
    return {
        "kms-key": bool(aws.encryption.enabled and (aws.encryption.kms_key_id or aws.encryption.region_kms_key_ids)),
        "instance-profile": bool(_node_profiles(spec)),
        "builder-profile": bool(_builder_profile(spec)),
        "no-builder-profile": not _builder_profile(spec),
        # Packer makes the builder's instance profile and its role.
        "temporary-profile": bool(aws.builder.instance_profile_policy),
        "spot": spot,
        "on-demand": not spot,
        # The builder's ssh host key is compared with its console output.
        "console": aws.communicator != "session-manager" and not aws.builder.accept_any_host_key,
        # A parameter of amigen that templates resolve, of the user that names a base image, of others for templates.
        "resolved-parameter": aws.launch_template.resolve_ssm_parameter,
        "source-parameter": bool(_own_parameters(spec)),
        "named-parameter": bool(scope.parameters),
        "deprecation": aws.deprecate_after_days is not None,
        "session-manager": aws.communicator == "session-manager",
        "ssh": aws.communicator != "session-manager",
        "temporary-group": not (aws.security_group_ids or aws.builder.security_group_filter),
        # The network of the builder is looked up: by the availability zones that have the instance type, at last.
        "find-vpc": bool(aws.builder.vpc_filter) or (not subnet and (bool(aws.vpc_id) or public)),
        "find-subnet": subnet or public,
        "choose-subnet": not subnet and public,
        # Temporary groups and key pairs, the builder, and images carry their tags from the start or get them later.
        "tags-while-made": not china,
        "launch-tags": spot or not china,
        "tags-afterwards": china and not spot,
        "image-tags-while-made": not (china or gov),
        "image-tags-afterwards": china or gov,
        "untagged-helpers": china,
    }


def _builder_profile(spec: NodeImage) -> str:
    """The builder's instance profile, and its role: that of the spec, or the pattern of Packer's temporary one."""
    return spec.aws.iam_instance_profile or ("packer-*" if spec.aws.builder.instance_profile_policy else "")


def _node_profiles(spec: NodeImage) -> list[str]:
    """Instance profiles that nodes are launched with; a canary takes the builder's where the template has none."""
    own, builder = spec.aws.launch_template.iam_instance_profile, spec.aws.iam_instance_profile
    return [profile for profile in (own or builder,) if profile]


def _roles(grant: Grant, spec: NodeImage, scope: Scope) -> Sequence[str]:
    if grant.action != "iam:PassRole":
        return [""]
    if "builder-profile" not in grant.when:
        return scope.roles or _node_profiles(spec)
    builder = [_builder_profile(spec)]
    return builder if spec.aws.builder.instance_profile_policy else scope.roles or builder


def _filled(grant: Grant, spec: NodeImage, scope: Scope) -> Iterable[tuple[list[str], dict[str, Any]]]:
    """Resources and condition of a grant, filled in; once for each parameter, profile or role that it is about."""
    regions = list(names.regions(spec))
    sources = sorted(_own_parameters(spec)) if "source-parameter" in grant.when else [""]
    named = [f"/{each.lstrip('/')}" for each in scope.parameters] if "named-parameter" in grant.when else [""]
    for source, role, parameter in itertools.product(sources, _roles(grant, spec, scope), named):
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
            "builder": _builder_profile(spec),
            "role": role,
            "named": parameter,
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
    found = {source_of(spec, target.platform, target.architecture).parameter for target in names.targets(spec)}
    return {parameter for parameter in found if parameter and not parameter.startswith("/aws/service/")}

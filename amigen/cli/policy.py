"""`amigen iam-policy`."""

from __future__ import annotations

import re
from typing import Any

import click

from amigen.aws.grants import PURPOSES, Purpose
from amigen.base.errors import InputError
from amigen.cli.aws import parse_tag
from amigen.cli.document import echo_json, echo_line
from amigen.cli.options import REGION, load_checked, spec_argument
from amigen.publish.policy import Scope, notes, policy

# Option -> what may stand in an ARN: `*` alone, or a name without IAM's wildcards (`*`, `?`) and variables (`${`).
_SCOPES = {
    "account": (r"\*|[0-9]{12}", "an account id: 12 digits"),
    "cluster": (r"\*|[0-9A-Za-z][0-9A-Za-z_-]{0,99}", "the name of an EKS cluster"),
    "nodegroup": (r"\*|[0-9A-Za-z][0-9A-Za-z_-]{0,62}", "the name of a node group"),
    "group": (r"\*|[^\x00-\x1f:*?$]{1,255}", "the name of an Auto Scaling group"),
    "parameters": (r"[A-Za-z0-9_./-]+", "the name of an SSM parameter"),
    "roles": (r"[A-Za-z0-9_+=,.@/-]+", "the name of a role"),
}


@click.command(name="iam-policy")
@spec_argument
@click.option("--for", "purposes", multiple=True, type=click.Choice(PURPOSES), help="Only for this. May be repeated.")
@click.option("--account", default="*", help="Account id in the resources. Default: any.")
@click.option("--group", default="*", help="Auto Scaling group of --for rollout. Default: any.")
@click.option("--nodegroup", default="*/*", metavar="CLUSTER/NAME", help="Node group of --for rollout. Default: any.")
@click.option("--cluster", default="*", help="EKS cluster of --for kube-proxy. Default: any, or that of --nodegroup.")
@click.option(
    "--tag",
    metavar="KEY=VALUE",
    help="Instances of --for fleet and verify. Default: those tagged with the spec's name.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME",
    help="SSM parameter of others by which launch templates name their images, for images and prune. May be repeated.",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="NAME",
    help="Role of the spec's instance profile. May be repeated. Default: the name of the profile.",
)
def iam_policy(spec: str | None, purposes: tuple[Purpose, ...], nodegroup: str, tag: str | None, **given: Any) -> None:
    """Print the IAM policy with exactly the actions, resources and conditions that the calls for SPEC need."""
    cluster, slash, name = nodegroup.partition("/")
    if not slash:
        raise InputError(f"{nodegroup!r} is not a node group", "--nodegroup CLUSTER/NAME")
    for option, value in [("cluster", cluster), ("nodegroup", name), *given.items()]:
        pattern, words = _SCOPES[option]
        for each in value if isinstance(value, tuple) else (value,):
            # It would be a policy that grants nothing, or more than it says.
            if not re.fullmatch(pattern, each):
                hint = "IAM's wildcards are not taken in a name"
                raise InputError(f"--{option.removesuffix('s')}: {each!r} is not {words}", hint)
    if given["cluster"] == "*":
        given["cluster"] = cluster
    scope = Scope(**given, nodegroup=name, tag=parse_tag(tag) if tag else None)
    checked = load_checked(spec)
    image = checked.require()
    document = policy(image, purposes or PURPOSES, scope)
    echo_json(document)
    if REGION not in checked.written:
        echo_line(f"{checked.file}: note: {REGION} is not in the spec: {image.aws.region}", err=True)
    for note in notes(image, document, scope):
        echo_line(f"note: {note}", err=True)

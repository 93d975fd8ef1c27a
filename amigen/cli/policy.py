"""`amigen iam-policy`."""

from __future__ import annotations

from typing import Any

import click

from amigen.aws.grants import PURPOSES, Purpose
from amigen.base.errors import InputError
from amigen.cli.aws import parse_tag
from amigen.cli.document import echo_json, echo_line
from amigen.cli.options import REGION, load_checked, spec_argument
from amigen.publish.policy import Scope, notes, policy


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

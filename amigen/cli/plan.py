"""`amigen plan`."""

from __future__ import annotations

import click

from amigen.cli.options import echo_json, load, one_plan, output_option, spec_argument
from amigen.plan.describe import plan_document, plan_lines
from amigen.plan.make import plan_images


@click.command()
@spec_argument
@click.option("--platform", help="Only this platform.")
@output_option
def plan(spec: str, platform: str | None, output: str) -> None:
    """Show what will be on the node, step by step, and which check proves each step."""
    image = load(spec)
    plans = plan_images(image) if platform is None else (one_plan(image, platform),)
    if output == "json":
        echo_json({"plans": [plan_document(p) for p in plans]})
        return
    for number, each in enumerate(plans):
        click.echo(("\n" if number else "") + "\n".join(plan_lines(each)))

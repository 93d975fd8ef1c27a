"""`amigen plan`."""

from __future__ import annotations

import click

from amigen.cli.document import echo_json, output_option
from amigen.cli.options import load, platform_option, spec_argument
from amigen.plan.choose import chosen_plans
from amigen.plan.describe import plan_document, plan_lines


@click.command()
@spec_argument
@platform_option
@output_option
def plan(spec: str | None, platforms: tuple[str, ...], output: str) -> None:
    """Show what will be on the node, step by step, and which check proves each step."""
    plans = chosen_plans(load(spec), platforms)
    if output == "json":
        echo_json({"plans": [plan_document(p) for p in plans]})
        return
    for number, each in enumerate(plans):
        click.echo(("\n" if number else "") + "\n".join(plan_lines(each)))

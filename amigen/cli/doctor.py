"""`amigen doctor`."""

from __future__ import annotations

import click

from amigen.build.doctor import findings
from amigen.cli.document import echo_json, echo_line, output_option


@click.command()
@output_option
def doctor(output: str) -> None:
    """Show what this machine can do, and what to install. Changes nothing and uses no network."""
    found = list(findings())
    if output == "json":
        echo_json(found)
        return
    width = max(len(each.name) for each in found)
    needed = max(len(each.needed_for) for each in found)
    for each in found:
        state = each.found or f"missing: {each.install}"
        echo_line(f"{'ok' if each.found else '--'}  {each.name:{width}}  {each.needed_for:{needed}}  {state}")

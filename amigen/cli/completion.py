"""`amigen completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL, such as `eval "$(amigen completion bash)"` in ~/.bashrc."""
    made = get_completion_class(shell)
    assert made
    click.echo(made(ctx.find_root().command, {}, "amigen", "_AMIGEN_COMPLETE").source())

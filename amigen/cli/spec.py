"""`amigen init | check | schema`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from amigen.base.errors import SpecError, plain
from amigen.base.words import counted
from amigen.cli.document import echo_json, output_option
from amigen.cli.excerpt import show
from amigen.cli.options import complete_architecture, complete_platform, find_spec
from amigen.knowledge import EKS_CALENDAR, EKS_CALENDAR_AS_OF, version_tuple
from amigen.platforms import PLATFORMS
from amigen.spec.first import SCHEMA, first_spec, write_first
from amigen.spec.model import NodeImage
from amigen.spec.schema import json_schema
from amigen.userdata.check import check_rendered


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="node-image.yaml")
@click.option("--name", default="ipvs-nodes", show_default=True, help="Name of the image.")
@click.option(
    "--kubernetes-version", "version", default="1.36", show_default=True, help="Kubernetes version of the nodes."
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    default=("al2023",),
    show_default=True,
    help="Operating system. May be repeated.",
    shell_complete=complete_platform,
)
@click.option(
    "--architecture",
    "architectures",
    multiple=True,
    default=("x86_64",),
    show_default=True,
    help="Processor architecture. May be repeated.",
    shell_complete=complete_architecture,
)
@click.option(
    "--mode",
    type=click.Choice(["ipvs", "nftables", "iptables"]),
    default="ipvs",
    show_default=True,
    help="kube-proxy's mode.",
)
@click.pass_context
def init(ctx: click.Context, /, file: Path, **given: Any) -> None:
    """Write a first spec to FILE (node-image.yaml), and its schema for editors to .amigen/schema.json beside it.

    An existing spec is never overwritten.
    """
    text, made = first_spec(**given)
    write_first(file, text)
    click.echo(f"wrote {file}, and {SCHEMA} beside it for editors")
    for line in _chosen(ctx, made):
        click.echo(f"  {line}")
    click.echo(f"next: amigen plan {shlex.quote(str(file))}")


def _chosen(ctx: click.Context, spec: NodeImage) -> Iterator[str]:
    """What was chosen, and why."""

    def why(option: str, reason: str) -> str:
        given = ctx.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT
        return "as asked" if given else f"default: {reason}"

    titles = ", ".join(PLATFORMS[platform].title for platform in spec.platforms)
    others = ", ".join(name for name in PLATFORMS if name not in spec.platforms)
    reason = why("platforms", "the distribution of the EKS optimized images")
    yield f"{titles} ({reason}{f'; also: {others}' if others else ''})"
    yield f"{', '.join(spec.architectures)} ({why('architectures', 'most instance types')})"
    known = version_tuple(spec.kubernetes_version) in EKS_CALENDAR
    reason = "in standard support of EKS" + (f" on {EKS_CALENDAR_AS_OF}" if known else "")
    yield f"Kubernetes {spec.kubernetes_version} ({why('version', reason)})"
    yield f"kube-proxy in {spec.kube_proxy.mode} mode ({why('mode', 'what amigen is made for')})"


@click.command()
@click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path(allow_dash=True, readable=False))
@output_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def check(specs: tuple[str, ...], output: str, strict: bool) -> None:
    """Check each SPEC, and report all problems with line, key path and allowed values."""
    checked = [check_rendered(find_spec(spec)) for spec in specs or (None,)]
    failed = [each for each in checked if not each.passes(strict=strict)]
    if output == "json":
        documents = [{"file": each.file, "ok": each not in failed, "problems": each.problems} for each in checked]
        # One spec has the form that it had when one was all that could be checked.
        echo_json(documents[0] if len(documents) == 1 else {"ok": not failed, "files": documents})
        if failed:
            raise SystemExit(SpecError.exit_code)
        return
    for each in checked:
        if each not in failed:
            show(each.problems, each.file, each.content, err=False)
            warnings = sum(p.severity == "warning" for p in each.problems)
            more = f", {counted(warnings, 'warning')}" if warnings else ""
            click.echo(plain(f"{each.file}: ok{more}"))
    for each in failed[:-1]:
        show(each.problems, each.file, each.content)
        click.echo(f"{plain(each.file)}: not ok", err=True)
    if failed:
        raise SpecError(failed[-1].file, failed[-1].problems, failed[-1].content)


@click.command()
@click.argument("what", metavar="[spec|build-record|ledger|all|COMMAND...]", nargs=-1)
def schema(what: tuple[str, ...]) -> None:
    """Print the JSON Schema of the spec (default), of a record, or of what COMMAND prints with --output json.

    `amigen schema images list` prints that of one command; `amigen schema all` prints all schemas by name.
    """
    name = " ".join(what) or "spec"
    if name == "spec":
        echo_json(json_schema())
        return

    # Here, and not above: it loads boto3, which `amigen check` does not need.
    from amigen.cli.outputs import FILES, OUTPUTS, schema_of

    echo_json({each: schema_of(each) for each in (*FILES, *OUTPUTS)} if name == "all" else schema_of(name))

"""`amigen init | check | schema`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from amigen.base.errors import ConflictError, InputError, Problem, SpecError, plain
from amigen.cli.document import echo_json, output_option
from amigen.cli.excerpt import show
from amigen.cli.options import complete_architecture, complete_platform, find_spec
from amigen.knowledge import EKS_CALENDAR, EKS_CALENDAR_AS_OF, version_tuple
from amigen.platforms import PLATFORMS
from amigen.spec.load import Checked, check_bytes
from amigen.spec.model import NodeImage
from amigen.spec.schema import json_schema
from amigen.userdata.check import check_rendered

_SCHEMA = Path(".amigen") / "schema.json"
_FIRST = """\
# yaml-language-server: $schema={schema}
# A node image for amigen. The schema above is for your editor; `amigen check` finds more.
apiVersion: amigen/v1alpha1
kind: NodeImage
name: {name}
kubernetesVersion: "{version}"
platforms: [{platforms}]
architectures: [{architectures}]

kubeProxy:
  mode: {mode}{ipvs}
"""
_IPVS = """
  ipvs:
    scheduler: rr
    # connTabBits: 16   # 65536 buckets, for large clusters"""


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
def init(
    ctx: click.Context,
    file: Path,
    name: str,
    version: str,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    mode: str,
) -> None:
    """Write a first spec to FILE (node-image.yaml), and its schema for editors to .amigen/schema.json beside it.

    An existing spec is never overwritten.
    """
    if file.suffix not in (".yaml", ".yml"):
        # Other commands would not find it.
        raise InputError(f"{file} is not named as a spec", f"amigen init {file}.yaml, or --name for the image's name")
    text = _FIRST.format(
        schema=_SCHEMA,
        name=name,
        version=version,
        platforms=", ".join(platforms),
        architectures=", ".join(architectures),
        mode=mode,
        ipvs=_IPVS if mode == "ipvs" else "",
    )
    checked = check_bytes(text.encode("utf-8", "surrogateescape"), "init")
    if checked.errors or checked.spec is None:
        raise SpecError("amigen init", tuple(map(_of_option, checked.errors)))
    made = checked.spec
    if (made.name, made.kubernetes_version, made.platforms, made.architectures) != (
        name,
        version,
        platforms,
        architectures,
    ):
        raise InputError("an option contains characters that have a meaning in YAML", "give plain words")
    try:
        # O_EXCL: two runs at once, or a link that points elsewhere, cannot make this overwrite anything.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise ConflictError(
            f"{file} exists already", "edit it, remove it, or name another: amigen init OTHER.yaml"
        ) from None
    except FileNotFoundError:
        raise InputError(f"there is no folder {file.parent}", f"mkdir -p {shlex.quote(str(file.parent))}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        schema_file = file.parent / _SCHEMA
        schema_file.parent.mkdir(exist_ok=True)
        schema_file.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        # A full disk: no half of a file stays behind that the next run would not overwrite.
        file.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from None
    click.echo(f"wrote {file}, and {_SCHEMA} beside it for editors")
    for line in _chosen(ctx, made):
        click.echo(f"  {line}")
    click.echo(f"next: amigen plan {shlex.quote(str(file))}")


def _of_option(problem: Problem) -> Problem:
    """The problem with the option whose value is wrong, and not with a place in a file that there is not."""
    key = problem.path.partition("[")[0]
    names = {"platforms": "platform", "architectures": "architecture", "kubernetesVersion": "kubernetes-version"}
    return replace(problem, path=f"--{names.get(key, key)}" if key else "", line=0, column=0)


def _chosen(ctx: click.Context, spec: NodeImage) -> Iterator[str]:
    """What was chosen, and why."""

    def why(option: str, reason: str) -> str:
        given = ctx.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT
        return "as asked" if given else f"default: {reason}"

    titles = ", ".join(PLATFORMS[platform].title for platform in spec.platforms)
    others = ", ".join(name for name in PLATFORMS if name not in spec.platforms)
    yield f"{titles} ({why('platforms', 'the distribution of the EKS optimized images')}; also: {others or 'none'})"
    yield f"{', '.join(spec.architectures)} ({why('architectures', 'most instance types')})"
    known = version_tuple(spec.kubernetes_version) in EKS_CALENDAR
    reason = "in standard support of EKS" + (f" on {EKS_CALENDAR_AS_OF}" if known else "")
    yield f"Kubernetes {spec.kubernetes_version} ({why('version', reason)})"
    yield f"kube-proxy in {spec.kube_proxy.mode} mode ({why('mode', 'what amigen is made for')})"


@click.command()
@click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path(allow_dash=True))
@output_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def check(specs: tuple[str, ...], output: str, strict: bool) -> None:
    """Check each SPEC, and report all problems with line, key path and allowed values."""
    checked = [_checked(find_spec(spec), strict=strict) for spec in specs or (None,)]
    failed = [each for each, ok in checked if not ok]
    if output == "json":
        documents = [
            {"file": each.file, "ok": ok, "problems": msgspec.to_builtins(each.problems)} for each, ok in checked
        ]
        # One spec has the form that it had when one was all that could be checked.
        echo_json(documents[0] if len(documents) == 1 else {"ok": not failed, "files": documents})
        if failed:
            raise SystemExit(SpecError.exit_code)
        return
    for each, ok in checked:
        if ok:
            show(each.problems, each.file, each.content, err=False)
            warnings = sum(p.severity == "warning" for p in each.problems)
            counted = f", {warnings} warning{'s'[: warnings != 1]}" if warnings else ""
            click.echo(plain(f"{each.file}: ok") + counted)
    for each in failed[:-1]:
        show(each.problems, each.file, each.content)
        click.echo(f"{plain(each.file)}: not ok", err=True)
    if failed:
        raise SpecError(failed[-1].file, failed[-1].problems, failed[-1].content)


def _checked(path: str, *, strict: bool) -> tuple[Checked, bool]:
    """What the check of a file found, and whether it passes."""
    checked = check_rendered(path)
    stops = ("error", "warning") if strict else ("error",)
    return checked, not any(p.severity in stops for p in checked.problems)


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

"""The command line: a thin edge over the library.

Commands are loaded on first use: `amigen render` imports neither boto3 nor testinfra.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from amigen import __version__
from amigen.base.errors import AmigenError, SpecError, plain, system_words
from amigen.base.interrupt import interrupted_exit_code, signals_as_interrupt
from amigen.base.words import nearest

# Command -> the module of this package that defines it, under its name; one line of help, which stands here so that
# `amigen --help` loads no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("spec", "Write a first spec."),
    "check": ("spec", "Check a spec: all problems at once, with line and key path."),
    "schema": ("spec", "Print the JSON Schema of the spec, of records or of JSON output."),
    "plan": ("plan", "Show what will be on the node, and which check proves it."),
    "render": ("render", "Write user data, scripts, Packer files and checks to a folder."),
    "export": ("export", "Write a spec for Terraform, Karpenter, eksctl, CloudFormation or EC2 Image Builder."),
    "build": ("build", "Build images with Packer, and keep those whose checks have passed."),
    "kube-proxy": ("kubeproxy", "Switch kube-proxy's mode in a cluster, and prove it on a node."),
    "user-data": ("userdata", "Print user data, or explain what arrives on the node."),
    "verify": ("verify", "Prove that an image, node, container or folder is what the spec says."),
    "publish": ("publish", "Bring proven images to launch templates."),
    "rollback": ("publish", "Move a launch template back to an older version."),
    "images": ("images", "Base images, own images, drift, pruning."),
    "fleet": ("fleet", "Verify running instances over Systems Manager."),
    "iam-policy": ("policy", "Print the IAM policy with exactly what the calls need."),
    "doctor": ("doctor", "Show what this machine can do, and what to install."),
    "docs": ("docs", "Show a page of the documentation."),
    "completion": ("completion", "Print the completion script of bash, zsh or fish."),
}
# Command -> an example for its help, and the page of the documentation that says more.
EXAMPLES = {
    "init": ("amigen init --platform al2023 --platform ubuntu-24.04", "spec"),
    "check": ("amigen check specs/*.yaml --strict", "spec"),
    "schema": ("amigen schema > .amigen/schema.json", "spec"),
    "plan": ("amigen plan node-image.yaml --platform al2023", "node"),
    "render": ("amigen render node-image.yaml -o out --check", "build"),
    "export": ("amigen export karpenter node-image.yaml --cluster prod | kubectl apply -f -", "launch"),
    "build": ("amigen build node-image.yaml --target local --platform debian-12", "build"),
    "kube-proxy": ("amigen kube-proxy plan --mode ipvs --by-pool", "kube-proxy"),
    "user-data": ("amigen user-data explain node-image.yaml --for karpenter", "user-data"),
    "verify": ("amigen verify node-image.yaml ssh://admin@192.0.2.7 --timeout 10m", "verify"),
    "publish": ("amigen publish node-image.yaml --canary --dry-run", "publish"),
    "rollback": ("amigen rollback node-image.yaml --dry-run", "publish"),
    "images": ("amigen images prune node-image.yaml --keep 3 --older-than 30d", "publish"),
    "fleet": ("amigen fleet verify node-image.yaml --region eu-central-1", "publish"),
    "iam-policy": ("amigen iam-policy node-image.yaml --for build", "publish"),
    "doctor": ("amigen doctor --output json", "build"),
    "completion": ('eval "$(amigen completion bash)"', "verify"),
    "user-data print": ("amigen user-data print node-image.yaml --base64", "user-data"),
    "user-data explain": ("amigen user-data explain node-image.yaml --for karpenter", "user-data"),
    "images base": ("amigen images base node-image.yaml --platform al2023", "publish"),
    "images list": ("amigen images list node-image.yaml --region eu-central-1", "publish"),
    "images prune": ("amigen images prune node-image.yaml --keep 3 --older-than 30d", "publish"),
    "images drift": ("amigen images drift node-image.yaml --no-base", "publish"),
    "images diff": ("amigen images diff ami-0123456789abcdef0 ami-0fedcba9876543210 --output markdown", "publish"),
    "fleet verify": ("amigen fleet verify node-image.yaml --tag pool=web --html report.html", "publish"),
    "kube-proxy plan": ("amigen kube-proxy plan --mode ipvs --by-pool", "kube-proxy"),
    "kube-proxy apply": ("amigen kube-proxy apply --mode ipvs --by-pool", "kube-proxy"),
    "kube-proxy status": ("amigen kube-proxy status --node ssh://ec2-user@10.0.0.7 --wait 5m", "kube-proxy"),
    "kube-proxy rollback": ("amigen kube-proxy rollback --dry-run", "kube-proxy"),
    "kube-proxy migrate": ("amigen kube-proxy migrate --write-spec nftables.yaml", "kube-proxy"),
}
# How `amigen --help` lists them.
_GROUPS = {
    "Offline": ("init", "check", "schema", "plan", "render", "export", "user-data", "doctor", "docs", "completion"),
    "Images and nodes": ("build", "verify"),
    "AWS": ("publish", "rollback", "images", "fleet", "iam-policy"),
    "Cluster": ("kube-proxy",),
}
_EPILOG = """\
Start with `amigen init`, `amigen check`, `amigen plan`. Without the name of a spec, a command takes AMIGEN_SPEC or the
one spec of the folder.

Exit codes: 1 a file cannot be written, 2 wrong usage, 3 the spec has errors, 4 differs, 5 conflict, 6 checks failed, 7
could not check, 8 build failed, 9 a program is missing, 10 AWS, 11 Kubernetes, 12 user data too large, 13 refused, 14
other input, 130 interrupted.

Documentation: `amigen docs`. Help of one command, with an example: `amigen COMMAND --help`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(f"{__name__}.{entry[0]}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        inner = command.commands if isinstance(command, click.Group) else {}
        for name, each in {cmd_name: command, **{f"{cmd_name} {key}": value for key, value in inner.items()}}.items():
            if name in EXAMPLES:
                example, page = EXAMPLES[name]
                each.epilog = f"\b\nExample: {example}\nMore:    amigen docs {page}"
        return command

    def invoke(self, ctx: click.Context) -> Any:
        from amigen.cli.document import json_document

        with json_document():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = nearest(args[0], COMMANDS)
            raise click.UsageError(f"{error.message} Did you mean {near!r}?" if near else error.message, ctx) from None


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EPILOG
)
@click.version_option(__version__, prog_name="amigen")
@click.option("-q", "--quiet", is_flag=True, help="Show no warnings and notes about the spec.")
@click.option("-v", "--verbose", is_flag=True, help="Show each program that amigen starts, on stderr.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, for a report.")
@click.pass_context
def cli(ctx: click.Context, quiet: bool, verbose: bool, debug: bool) -> None:
    """One spec in, a proven Kubernetes node image out."""
    ctx.ensure_object(dict).update(quiet=quiet, debug=debug)
    if verbose and "show" not in _STARTED:
        # Hooks cannot be removed: it looks whether it is still wanted.
        sys.addaudithook(_show_program)
    _STARTED["show"] = verbose


_STARTED: dict[str, bool] = {}


def _show_program(event: str, given: tuple[Any, ...]) -> None:
    """An audit hook (https://docs.python.org/3/library/audit_events.html): tells the words of each program, shortened.

    What may be a secret is left out: a token of Session Manager comes as one word of JSON.
    """
    if event != "subprocess.Popen" or not _STARTED.get("show"):
        return
    words = given[1] if isinstance(given[1], (list, tuple)) else [given[1]]
    texts = [os.fsdecode(word) for word in words]
    hidden = re.compile(r"token|secret|passw|credential|^[{\[]", re.I)
    shown = ["..." if hidden.search(text) else text if len(text) <= 80 else f"{text[:77]}..." for text in texts]
    click.echo(f"amigen: starts {plain(shlex.join(shown))}", err=True)


def main(args: list[str] | None = None) -> Any:
    """Run the command line; every failure leaves here as one message on stderr and an exit code of its own kind."""
    _open_closed_streams()
    options: dict[str, bool] = {}
    stdout = sys.stdout
    for stream in (sys.stdout, sys.stderr):
        # A file name that is no text, or a terminal that knows no umlauts, must not end in a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        raw = _LossyFile(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), sys.stderr.encoding, "backslashreplace", None, True)
    try:
        with signals_as_interrupt():
            cli.main(args=args, prog_name="amigen", standalone_mode=False, obj=options)
        sys.stdout.flush()
    except SystemExit:
        # click's own answer to a reader that went away while it wrote: it wraps stdout, and ends with 1.
        if sys.stdout is not stdout:
            sys.exit(141)
        raise
    except AmigenError as error:
        if options.get("debug"):
            import traceback

            click.echo(plain("".join(traceback.format_exception(error)), keep="\n"), err=True)
        _explain(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("amigen: interrupted", err=True)
        sys.exit(interrupted_exit_code())
    except BrokenPipeError:
        # The reader went away (`amigen plan | head`).
        _drop_stdout()
        sys.exit(141)
    except OSError as error:
        click.echo(f"amigen: error: {plain(system_words(error))}", err=True)
        _drop_stdout()
        sys.exit(1)


def _explain(error: AmigenError) -> None:
    """The message of a failure on stderr; findings about a spec with their lines."""
    if isinstance(error, SpecError):
        from amigen.cli.excerpt import show

        show(error.problems, error.file, error.content)
        click.echo(plain(error.ending), err=True)
        return
    text = plain(str(error), keep="\n")
    click.echo(text if "\n" in text.split("\n  hint:")[0] else f"amigen: error: {text}", err=True)


class _LossyFile(io.FileIO):
    """stderr, whose reader may be gone: what it does not take is dropped, and the command ends as it would."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(content)


def _open_closed_streams() -> None:
    """Who was started with a stream closed (`>&-`) has none in `sys`, and the next file would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


def _drop_stdout() -> None:
    """Point stdout elsewhere, so that Python's exit does not fail once more on what is still to be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

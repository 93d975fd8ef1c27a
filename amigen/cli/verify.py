"""`amigen verify`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.cli.document import echo_json, echo_line, output_option
from amigen.cli.durations import Duration
from amigen.cli.options import (
    complete_architecture,
    complete_platform,
    complete_target,
    find_spec,
    is_spec,
    load,
    one_plan,
    ssh_options,
)

if TYPE_CHECKING:
    from amigen.connections.model import ConnectOptions, Target
    from amigen.plan.model import ImagePlan
    from amigen.verify.report import Report
    from amigen.verify.run import Options

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


class _SpecMayBeMissing(click.Command):
    """`amigen verify TARGET` takes the spec of the folder: what is left out is the first of two arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = any(word == "-" or word.endswith((".yaml", ".yml")) or is_spec(Path(word)) for word in args)
        if not named and any(not word.startswith("-") for word in args):
            args = [find_spec(None), *args]
        return super().parse_args(ctx, args)


@click.command(cls=_SpecMayBeMissing)
@click.argument(
    "spec",
    metavar="[SPEC]",
    required=False,
    callback=lambda _, __, value: find_spec(value),
    # A target may stand in its place.
    shell_complete=complete_target,
)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True, shell_complete=complete_target)
@click.option(
    "--platform",
    help="Platform of the target. Required if the spec has several.",
    shell_complete=complete_platform,
)
@click.option(
    "--architecture",
    help="Image file: architecture. Default: that of its build record.",
    shell_complete=complete_architecture,
)
@click.option(
    "--checks",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with testinfra tests of your own. Default: the folder `checks` beside the spec.",
)
@click.option("--joined", is_flag=True, help="The node must have joined its cluster.")
@click.option(
    "--allow-unproven",
    is_flag=True,
    help="Exit with 0 if nothing failed, even if some checks are not provable on the target.",
)
@click.option(
    "--hygiene/--no-hygiene", default=None, help="Check for leftovers of the builder. Default: only on image files."
)
@ssh_options[0]
@ssh_options[1]
@click.option("--user", help="Image file: login user. Default: that of the platform.")
@click.option("--no-user-data", is_flag=True, help="Image file: boot no node with the spec's user data.")
@click.option("--no-reboot", is_flag=True, help="Image file: do not check again after a reboot.")
@click.option("--twins", is_flag=True, help="Image file: compare two nodes also with --no-user-data.")
@click.option("--timeout", type=Duration("s", least=1), help="Longest time for the whole run. Default: no limit.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Image file: folder for the logs of a failed VM. Default: beside --html or --junit.",
)
@click.option("--keep", is_flag=True, help="Image file: leave a failed VM running until Ctrl-C.")
@click.option("--junit", type=_FILE, help="Write a JUnit XML file.")
@click.option("--html", type=_FILE, help="Write an HTML report.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each passed check.")
@output_option
def verify(spec: str, targets: tuple[str, ...], output: str, **given: object) -> None:
    """Prove that TARGET is what SPEC says.

    TARGET is an image file (booted in a VM, never changed), a folder, ssh://[USER@]HOST[:PORT], ssm://i-INSTANCE,
    podman://CONTAINER, docker://CONTAINER, nspawn:///FOLDER, chroot:///FOLDER or local.

    Exit codes: 0 all is proven, 6 a check failed, 7 something could not be checked or cannot be proved there.
    """
    from amigen.base.interrupt import bounded
    from amigen.connections import parse_target
    from amigen.connections.model import ConnectOptions
    from amigen.connections.ssh import ssh_words

    parsed = [parse_target(target) for target in targets]
    _writable(given["junit"], given["html"])
    seconds = given["timeout"]
    assert seconds is None or isinstance(seconds, float)
    connect = ConnectOptions(ssh=ssh_words(_words(given["ssh_options"]), _text(given["identity"])))
    with bounded(seconds):
        plan = one_plan(load(spec), _text(given["platform"]), _text(given["architecture"]))
        reports = tuple(_run(plan, parsed, _options(spec, given, connect), given))
    _show(reports, output, verbose=bool(given["verbose"]))
    _write(reports, given["junit"], given["html"])
    _conclude(reports, allow_unproven=bool(given["allow_unproven"]))


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _words(value: object) -> tuple[str, ...]:
    assert isinstance(value, tuple)
    return value


def _run(plan: ImagePlan, targets: list[Target], options: Options, given: dict[str, object]) -> list[Report]:
    from amigen.verify.run import make_report, not_reached, verify_many

    images = [target for target in targets if target.kind == "image"]
    if not images:
        return verify_many(plan, targets, options)
    if len(targets) > 1:
        raise InputError("an image file is verified alone", "verify the targets one after another")
    from amigen.build.record import architecture_of
    from amigen.verify.vm import FIRST_BOOT, BootOptions, verify_image

    boot = BootOptions(
        user=_text(given["user"]),
        user_data=not given["no_user_data"],
        reboot=not given["no_reboot"],
        hygiene=given["hygiene"] is not False,
        twins=bool(given["twins"]),
        logs=_logs(given),
        keep=bool(given["keep"]),
        architecture=architecture_of(plan.spec, Path(images[0].name), _text(given["architecture"])),
    )
    begun = datetime.now(UTC)
    try:
        return [verify_image(plan, images[0], options, boot)]
    except CouldNotCheckError as error:
        seconds = (datetime.now(UTC) - begun).total_seconds()
        return [make_report(plan, images[0], begun, seconds, [not_reached(error, FIRST_BOOT)])]


def _options(spec: str, given: dict[str, object], connect: ConnectOptions) -> Options:
    from amigen.verify.run import Options

    own = given["checks"]
    if own is None and spec != "-":
        beside = Path(spec).absolute().parent / "checks"
        own = beside if beside.is_dir() and any(beside.rglob("*.py")) else None
    assert own is None or isinstance(own, Path)
    return Options(
        own=own.absolute() if own else None,
        joined=bool(given["joined"]),
        hygiene=given["hygiene"] is True,
        connect=connect,
        log=lambda line: click.echo(line, err=True),
    )


def _logs(given: dict[str, object]) -> Path | None:
    """The folder that was named, or one beside the report."""
    report = given["html"] or given["junit"]
    logs = given["logs"] or (report.with_name(f"{report.stem}-logs") if isinstance(report, Path) else None)
    assert logs is None or isinstance(logs, Path)
    return logs.absolute() if logs else None


def _writable(*files: object) -> None:
    """Before minutes of work, and not after them."""
    for file in files:
        if isinstance(file, Path) and not file.absolute().parent.is_dir():
            raise InputError(f"{file}: there is no folder {file.absolute().parent}", "make it first")


def _show(reports: tuple[Report, ...], output: str, *, verbose: bool) -> None:
    if output == "json":
        import msgspec

        from amigen.verify.report import to_json

        echo_json(msgspec.json.decode(to_json(reports)))
        return
    from rich.console import Console

    from amigen.verify.table import print_reports

    # Without a terminal, lines are as long as they are: logs are searched, not looked at.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    print_reports(reports, console, every=verbose)


def _write(reports: tuple[Report, ...], junit_file: object, html_file: object) -> None:
    if isinstance(junit_file, Path):
        from amigen.verify.junit import junit

        junit_file.write_bytes(junit(reports))
    if isinstance(html_file, Path):
        from amigen.verify.page import page

        html_file.write_bytes(page(reports))


def _conclude(reports: tuple[Report, ...], *, allow_unproven: bool) -> None:
    """The worst of the outcomes is the outcome, a failed check before one that could not be made; all are named."""
    found = [error for report in reports if (error := _error(report, allow_unproven=allow_unproven))]
    if found:
        worst = min(found, key=lambda error: error.exit_code)
        for error in found:
            if error is not worst:
                echo_line(f"amigen: {error.message}", err=True)
        raise worst


def _error(report: Report, *, allow_unproven: bool) -> AmigenError | None:
    only_unproven = report.verdict == "unproven" and not report.count("error") and report.count("passed") > 0
    return None if allow_unproven and only_unproven else report.error()

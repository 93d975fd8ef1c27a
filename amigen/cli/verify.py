"""`amigen verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amigen.cli.options import load, one_plan, output_option, spec_argument
from amigen.errors import AmigenError, CouldNotCheckError, InputError

if TYPE_CHECKING:
    from amigen.plan.model import ImagePlan
    from amigen.verify.report import Report
    from amigen.verify.run import Options
    from amigen.verify.target import Target

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@spec_argument
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--platform", help="Which platform of the spec the target is; needed where it has several.")
@click.option(
    "--checks",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with testinfra tests of your own; default: `checks` beside the spec, where there is one.",
)
@click.option("--joined", is_flag=True, help="The node must have joined its cluster.")
@click.option(
    "--allow-unproven", is_flag=True, help="Exit with 0 where nothing failed, though some is not provable there."
)
@click.option(
    "--hygiene/--no-hygiene", default=None, help="Check for leftovers of the builder; default: of image files."
)
@click.option("--identity", metavar="FILE", help="ssh: the key to use.")
@click.option(
    "--ssh-option", "ssh_options", multiple=True, metavar="NAME=VALUE", help="ssh: an option, as in ssh_config(5)."
)
@click.option("--user", help="Image file: its login user; default: that of the platform.")
@click.option("--no-user-data", is_flag=True, help="Image file: boot it without the spec's user data.")
@click.option("--no-reboot", is_flag=True, help="Image file: do not check again after a reboot.")
@click.option("--twins", is_flag=True, help="Image file: boot a second node and compare machine-id and host keys.")
@click.option("--junit", type=_FILE, help="Write a JUnit XML file.")
@click.option("--html", type=_FILE, help="Write a page for the browser.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each check that passed.")
@output_option
def verify(spec: str, targets: tuple[str, ...], output: str, **given: object) -> None:
    """Prove that TARGET is what SPEC says.

    TARGET is an image file (booted in a VM, never changed), a folder, ssh://[USER@]HOST[:PORT], ssm://i-INSTANCE,
    podman://CONTAINER, docker://CONTAINER, nspawn:///FOLDER, chroot:///FOLDER or local.

    Exit codes: 0 all is proven, 6 a check failed, 7 something could not be checked or cannot be proved there.
    """
    plan = one_plan(load(spec), _text(given["platform"]))
    from amigen.verify.target import parse_target

    parsed = [parse_target(target) for target in targets]
    _writable(given["junit"], given["html"])
    outcomes = _run(plan, parsed, spec, given)
    reports = tuple(outcome for outcome in outcomes if not isinstance(outcome, AmigenError))
    _show(reports, output, verbose=bool(given["verbose"]))
    _write(reports, given["junit"], given["html"])
    _conclude(outcomes, allow_unproven=bool(given["allow_unproven"]))


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _run(
    plan: ImagePlan, targets: list[Target], spec: str, given: dict[str, object]
) -> list[Report | CouldNotCheckError]:
    from amigen.verify.run import verify_many

    options = _options(spec, given)
    images = [target for target in targets if target.kind == "image"]
    if not images:
        return verify_many(plan, targets, options)
    if len(targets) > 1:
        raise InputError("an image file is verified alone", "verify the targets one after another")
    from amigen.verify.vm import BootOptions, verify_image

    boot = BootOptions(
        user=_text(given["user"]),
        user_data=not given["no_user_data"],
        reboot=not given["no_reboot"],
        hygiene=given["hygiene"] is not False,
        twins=bool(given["twins"]),
    )
    return [verify_image(plan, images[0], options, boot)]


def _options(spec: str, given: dict[str, object]) -> Options:
    from amigen.verify.run import Options

    own = given["checks"]
    if own is None and spec != "-":
        beside = Path(spec).absolute().parent / "checks"
        own = beside if beside.is_dir() and any(beside.rglob("*.py")) else None
    options = given["ssh_options"]
    assert own is None or isinstance(own, Path)
    assert isinstance(options, tuple)
    return Options(
        own=own.absolute() if own else None,
        joined=bool(given["joined"]),
        hygiene=given["hygiene"] is True,
        ssh_options=options,
        identity=_text(given["identity"]),
        log=lambda line: click.echo(line, err=True),
    )


def _writable(*files: object) -> None:
    """Before minutes of work, and not after them."""
    for file in files:
        if isinstance(file, Path) and not file.absolute().parent.is_dir():
            raise InputError(f"{file}: there is no folder {file.absolute().parent}", "make it first")


def _show(reports: tuple[Report, ...], output: str, *, verbose: bool) -> None:
    if output == "json":
        from amigen.verify.report import to_json

        click.echo(to_json(reports), nl=False)
        return
    from rich.console import Console

    from amigen.verify.table import print_report

    # Without a terminal, lines are as long as they are: logs are searched, not looked at.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    for report in reports:
        print_report(report, console, every=verbose)


def _write(reports: tuple[Report, ...], junit_file: object, html_file: object) -> None:
    if isinstance(junit_file, Path):
        from amigen.verify.junit import junit

        junit_file.write_bytes(junit(reports))
    if isinstance(html_file, Path) and reports:
        from amigen.verify.page import page

        html_file.write_bytes(page(reports))


def _conclude(outcomes: list[Report | CouldNotCheckError], *, allow_unproven: bool) -> None:
    """The worst of the outcomes is the outcome: a failed check before one that could not be made."""
    errors = [outcome if isinstance(outcome, AmigenError) else outcome.error() for outcome in outcomes]
    if allow_unproven:
        pairs = zip(outcomes, errors, strict=True)
        errors = [None if _only_unproven(outcome) else error for outcome, error in pairs]
    found = sorted((error for error in errors if error is not None), key=lambda error: error.exit_code)
    if found:
        others = len(found) - 1
        first = found[0]
        more = f" (and {others} more of {len(outcomes)} targets)" if others else ""
        raise type(first)(f"{first.message}{more}", first.hint)


def _only_unproven(outcome: Report | CouldNotCheckError) -> bool:
    if isinstance(outcome, AmigenError):
        return False
    return outcome.verdict == "unproven" and not outcome.count("error") and outcome.count("passed") > 0

"""`amigen verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.cli.document import echo_json, echo_line, output_option
from amigen.cli.durations import Duration
from amigen.cli.options import (
    complete_architecture,
    complete_platform,
    complete_target,
    find_spec,
    is_spec,
    load,
    ssh_options,
)
from amigen.cli.reports import report_options, show_reports, writable_folder, write_reports

if TYPE_CHECKING:
    from amigen.verify.report import Report
    from amigen.verify.run import Options


# What only a boot can use.
_FOR_IMAGES = ("user", "no_user_data", "no_reboot", "logs", "keep")


@click.command()
@click.argument("words", metavar="[SPEC] TARGET...", nargs=-1, required=True, shell_complete=complete_target)
@click.option(
    "--platform", help="Platform of the target. Required if the spec has several.", shell_complete=complete_platform
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
@click.option("--timeout", type=Duration("s", least=1), help="Longest time for the whole run. Default: no limit.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    callback=writable_folder,
    help="Image file: folder for the logs of a failed VM. Default: beside --html or --junit.",
)
@click.option("--keep", is_flag=True, help="Image file: leave a failed VM running until Ctrl-C.")
@report_options
@output_option
def verify(words: tuple[str, ...], output: str, **given: Any) -> None:
    """Prove that TARGET is what SPEC says.

    TARGET is an image file (booted in a VM, never changed), a folder, ssh://[USER@]HOST[:PORT], ssm://i-INSTANCE,
    podman://CONTAINER, docker://CONTAINER, nspawn:///FOLDER, chroot:///FOLDER or local.

    Exit codes: 0 all is proven, 6 a check failed, 7 something could not be checked or cannot be proved there.
    """
    from amigen.base.interrupt import bounded
    from amigen.connections import parse_target
    from amigen.plan.choose import one_plan
    from amigen.verify.run import image_among, verify_many, worst_of

    named = words[0] == "-" or words[0].endswith((".yaml", ".yml")) or is_spec(Path(words[0]))
    spec, targets = (words[0], words[1:]) if named else (None, words)
    if not targets:
        raise click.UsageError("Missing argument 'TARGET...'.")
    if late := [word for word in targets if word.endswith((".yaml", ".yml")) and Path(word).is_file()]:
        raise click.UsageError(f"{late[0]} is a spec, which comes before the targets")
    parsed = [parse_target(target) for target in targets]
    image = image_among(parsed)
    if not image and (unused := [f"--{name.replace('_', '-')}" for name in _FOR_IMAGES if given[name]]):
        hint = "; the user of a host is part of its target: ssh://USER@HOST" if "--user" in unused else ""
        raise click.UsageError(f"{', '.join(unused)}: only for image files, and {targets[0]} is not one{hint}")
    with bounded(given["timeout"]):
        spec = find_spec(spec)
        plan = one_plan(load(spec), given["platform"], given["architecture"])
        options = _options(spec, given)
        reports: tuple[Report, ...]
        if image:
            from amigen.build.record import architecture_of
            from amigen.verify.vm import verify_image

            architecture = architecture_of(plan.spec, Path(image.name), given["architecture"])
            reports = (verify_image(plan, image, options, architecture),)
        else:
            reports = tuple(verify_many(plan, parsed, options))
    if output == "json":
        from amigen.verify.report import document

        echo_json(document(reports))
    else:
        show_reports(reports, verbose=given["verbose"])
    write_reports(reports, given["junit"], given["html"])
    worst, others = worst_of(reports, allow_unproven=given["allow_unproven"])
    for error in others:
        echo_line(f"amigen: {error.message}", err=True)
    if worst:
        raise worst


def _options(spec: str, given: dict[str, Any]) -> Options:
    from amigen.connections.model import ConnectOptions
    from amigen.connections.ssh import ssh_words
    from amigen.verify.run import Options, tests_beside

    own, report = given["checks"] or tests_beside(spec), given["html"] or given["junit"]
    logs = given["logs"] or (report and report.with_name(f"{report.stem}-logs"))
    return Options(
        own=own.absolute() if own else None,
        connect=ConnectOptions(ssh=ssh_words(given["ssh_options"], given["identity"])),
        log=lambda line: click.echo(line, err=True),
        user_data=not given["no_user_data"],
        reboot=not given["no_reboot"],
        logs=logs.absolute() if logs else None,
        **{name: given[name] for name in ("joined", "hygiene", "user", "keep")},
    )

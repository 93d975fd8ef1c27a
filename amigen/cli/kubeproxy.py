"""`amigen kube-proxy`: plan, apply, status, rollback, migrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.base.errors import InputError, RefusedError
from amigen.base.files import read_text
from amigen.cli.document import echo_json, echo_text, output_option
from amigen.cli.kubeproxy_options import change_options, cluster_options, execute_options, roll_options
from amigen.cli.kubeproxy_status import status
from amigen.cli.options import Group
from amigen.knowledge import PROXY_MODES

if TYPE_CHECKING:
    from amigen.cli.kubeproxy_session import Session
    from amigen.kubeproxy.change import ChangePlan
    from amigen.kubeproxy.settings import Settings


@click.group(cls=Group)
def kube_proxy() -> None:
    """Plan, change and verify kube-proxy's mode in a cluster."""


@kube_proxy.command()
@cluster_options
@change_options
@roll_options
@output_option
def plan(output: str, **options: Any) -> None:
    """Show what a change would do, and change nothing."""
    session = _session(options)
    found = session.plan(_settings(options))
    _print_plan(found, output)


@kube_proxy.command()
@cluster_options
@change_options
@roll_options
@execute_options
@output_option
def apply(output: str, **options: Any) -> None:
    """Change the mode: show the plan, ask, save the old configuration, write, restart and verify."""
    session = _session(options)
    found = session.plan(_settings(options))
    _print_plan(found, output)
    not_ready = [one.node for one in found.readiness if one.verdict == "not ready"]
    if not_ready and not found.nothing_to_do and not options["dry_run"]:
        raise RefusedError(
            f"{len(not_ready)} nodes are not ready for {found.settings.mode}: {', '.join(not_ready[:10])}",
            "kube-proxy would exit there; make them ready, or go by --pool with those that are",
        )
    session.execute(found, output)


@kube_proxy.command()
@cluster_options
@roll_options
@execute_options
@output_option
@click.option("--saved", metavar="FILE", help="Saved configuration. Default: the newest of this cluster.")
@click.option("--list", "list_", is_flag=True, help="List what is saved for this cluster.")
@click.option("--discard-later-changes", is_flag=True, help="Roll back even if the configuration was changed since.")
def rollback(output: str, saved: str | None, list_: bool, discard_later_changes: bool, **options: Any) -> None:
    """Restore the configuration that `apply` saved."""
    from amigen.kubeproxy.rollback import plan_rollback
    from amigen.kubeproxy.saved import listed, load, newest

    session = _session(options)
    if list_:
        for path in listed(session.cluster.name):
            click.echo(path)
        return
    path = Path(saved) if saved else newest(session.cluster.name, session.cluster.server)
    record = load(path, session.cluster.server)
    found = plan_rollback(
        session.observed, record, session.request, discard=discard_later_changes, running=session.running
    )
    _print_plan(found, output)
    session.execute(found, output, back=True)


kube_proxy.add_command(status)


@kube_proxy.command()
@cluster_options
@output_option
@click.option("--config", "config_file", metavar="FILE", help="A KubeProxyConfiguration in place of a cluster's.")
@click.option("--kubernetes-version", metavar="VERSION", help="With --config: the version of kube-proxy.")
@click.option("--name", default="nftables-node", show_default=True, help="Name of the image spec.")
@click.option("--write-spec", metavar="FILE", help="Write the image spec; an existing file is never replaced.")
def migrate(
    output: str,
    config_file: str | None,
    kubernetes_version: str | None,
    name: str,
    write_spec: str | None,
    **options: Any,
) -> None:
    """Plan the migration from ipvs (or iptables) to nftables. Changes nothing in the cluster."""
    from amigen.kubeproxy import show
    from amigen.kubeproxy.config import read_config
    from amigen.kubeproxy.migrate import plan_migration
    from amigen.kubeproxy.versions import minor_version, patch_version

    if config_file:
        if not kubernetes_version:
            raise InputError("--config needs --kubernetes-version", "such as --kubernetes-version 1.35")
        version = minor_version(kubernetes_version, "--kubernetes-version")
        patch = patch_version(kubernetes_version)
        found = plan_migration(read_config(read_text(config_file), config_file), version, patch=patch, name=name)
    else:
        seen = _session(options).observed
        found = plan_migration(
            seen.config,
            seen.proxy_version,
            seen.nodes,
            patch=seen.proxy_patch,
            gathered=seen.gathered,
            server_version=seen.version,
            name=name,
        )
    if write_spec:
        from amigen.spec.load import parse_spec

        parse_spec(found.spec, write_spec)  # what is written must be one
        try:
            with Path(write_spec).open("x", encoding="utf-8") as file:
                file.write(found.spec)
        except FileExistsError:
            raise InputError(f"{write_spec} is there already", "name another file") from None
        except OSError as error:
            raise InputError(f"{write_spec}: {error.strerror}") from None
    if output == "json":
        echo_json(show.migration_json(found))
    else:
        echo_text(show.migration_text(found))


def _session(options: dict[str, Any]) -> Session:
    """Imported here: boto3 and urllib3 load only when a command runs."""
    from amigen.cli.kubeproxy_session import Session

    return Session(options)


def _print_plan(found: ChangePlan, output: str) -> None:
    from amigen.kubeproxy import show

    if output == "json":
        echo_json(show.plan_json(found))
    else:
        echo_text(show.plan_text(found))


def _settings(options: dict[str, Any]) -> Settings:
    """Options and spec as settings; what the options say beats the spec."""
    from amigen.kubeproxy.settings import Settings, Value, read_field

    fields: dict[str, Value] = {}
    mode = options["mode"]
    if options["spec_file"]:
        from amigen.spec.load import load_spec

        wanted = load_spec(options["spec_file"]).kube_proxy
        mode = mode or wanted.mode
        if mode == "ipvs":
            fields["ipvs.scheduler"] = wanted.ipvs.scheduler
            fields |= {"ipvs.strictARP": True} if wanted.ipvs.strict_arp else {}
    if mode is None:
        raise InputError("no mode given", f"--mode {'|'.join(PROXY_MODES)}, or --spec FILE")
    assignments = [*options["assignments"]]
    if options["scheduler"]:
        assignments.append(f"ipvs.scheduler={options['scheduler']}")
    fields |= dict(read_field(assignment) for assignment in assignments)
    return Settings(mode=mode, fields=fields)

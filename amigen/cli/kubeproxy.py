"""`amigen kube-proxy`: plan, apply, status, rollback, migrate."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amigen.cli.options import echo_json, echo_line, echo_text, output_option
from amigen.errors import ChecksFailedError, InputError, RefusedError
from amigen.files import read_text
from amigen.knowledge import PROXY_MODES

if TYPE_CHECKING:
    from amigen.cli.kubeproxy_session import Session
    from amigen.kubeproxy.plan import ChangePlan
    from amigen.kubeproxy.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


# Of ten thousand services with their endpoints.
_LISTING_BYTES = 64 << 20
_CLUSTER = _options(
    click.option("--kubeconfig", metavar="FILE", help="Kubeconfig; else $KUBECONFIG, ~/.kube/config."),
    click.option("--context", metavar="NAME", help="Context; else the current one."),
    click.option(
        "--cluster-name", metavar="NAME", help="EKS name of the cluster, where the kubeconfig does not say it."
    ),
    click.option("--region", help="AWS region, likewise."),
    click.option("--profile", help="AWS profile."),
    click.option(
        "--pool-label", metavar="KEY", default="", help="Node label that names the pool; else EKS's, Karpenter's."
    ),
    click.option(
        "--look", metavar="TARGET", help="Look on each node, such as ssh://ec2-user@{address} ({name} works too)."
    ),
    click.option("--ssh-option", multiple=True, metavar="ARG", help="Argument for ssh, such as -iKEY; repeatable."),
)
_ROLL = _options(
    click.option(
        "--by-pool", is_flag=True, help="Go node pool by node pool, and stop at the first that is not healthy."
    ),
    click.option(
        "--pool", "pools", multiple=True, metavar="NAME", help="Only these pools, in this order; implies --by-pool."
    ),
    click.option("--despite-addon", is_flag=True, help="Edit the ConfigMap although the EKS add-on manages it."),
    click.option(
        "--resolve-conflicts",
        "resolve",
        type=click.Choice(["OVERWRITE", "PRESERVE", "NONE"]),
        default="OVERWRITE",
        show_default=True,
        help="What becomes of edits by hand, through the add-on.",
    ),
)
_CHANGE = _options(
    click.option("--mode", type=click.Choice(PROXY_MODES), help="kube-proxy's mode; required without --spec."),
    click.option("--scheduler", metavar="NAME", help="IPVS scheduler; the same as --set ipvs.scheduler=NAME."),
    click.option(
        "--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Another field, such as ipvs.strictARP=true."
    ),
    click.option("--spec", "spec_file", metavar="FILE", help="Take mode, scheduler and strictARP from a spec."),
    click.option("--by", type=click.Choice(["auto", "addon", "configmap"]), default="auto", show_default=True),
    click.option(
        "--verified", multiple=True, metavar="NODE=FILE", help="Report of `amigen verify` for a node; repeatable."
    ),
)
_EXECUTE = _options(
    click.option("--yes", is_flag=True, help="Do not ask."),
    click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
    click.option(
        "--timeout", type=click.FloatRange(1, 86400), default=600.0, show_default=True, help="Seconds per pool."
    ),
)


@click.group()
def kube_proxy() -> None:
    """Switch kube-proxy's mode in a cluster with open eyes, and prove it on a node."""


@kube_proxy.command()
@_CLUSTER
@_CHANGE
@_ROLL
@output_option
def plan(output: str, **options: Any) -> None:
    """Show what a change would do; changes nothing."""
    session = _session(options)
    found = session.plan(_settings(options))
    _print_plan(found, output)


@kube_proxy.command()
@_CLUSTER
@_CHANGE
@_ROLL
@_EXECUTE
@output_option
def apply(output: str, **options: Any) -> None:
    """Change the mode: shows the plan, asks, saves what was, writes, restarts, follows and reads back."""
    session = _session(options)
    found = session.plan(_settings(options))
    _print_plan(found, output)
    not_ready = [one.node for one in found.readiness if one.verdict == "not ready"]
    if not_ready and not found.nothing_to_do and not options["dry_run"]:
        raise RefusedError(
            f"{len(not_ready)} nodes are not ready for {found.settings.mode}: {', '.join(not_ready[:10])}",
            "kube-proxy would exit there; make them ready, or go by --pool with those that are",
        )
    session.execute(found)


@kube_proxy.command()
@_CLUSTER
@_ROLL
@_EXECUTE
@output_option
@click.option("--saved", metavar="FILE", help="A saved configuration; else the newest of this cluster.")
@click.option("--list", "list_", is_flag=True, help="List what is saved for this cluster.")
@click.option("--discard-later-changes", is_flag=True, help="Also where somebody changed the configuration since.")
def rollback(output: str, saved: str | None, list_: bool, discard_later_changes: bool, **options: Any) -> None:
    """Bring back the configuration that `apply` saved."""
    from amigen.kubeproxy.rollback import plan_rollback
    from amigen.kubeproxy.saved import listed, load, newest

    session = _session(options)
    if list_:
        for path in listed(session.cluster.name):
            click.echo(path)
        return
    path = Path(saved) if saved else newest(session.cluster.name, session.cluster.server)
    record = load(path, session.cluster.server)
    found = plan_rollback(session.observed, record, session.wish, discard=discard_later_changes)
    _print_plan(found, output)
    session.execute(found, back=True)


@kube_proxy.command()
@_CLUSTER
@output_option
@click.option(
    "--node", "targets", multiple=True, metavar="TARGET", help="Compare this node: local, ssh://USER@HOST[:PORT]."
)
@click.option("--listing", metavar="FILE", help="Compare a saved `ipvsadm -L -n`; `-` reads stdin.")
@click.option(
    "--wait", type=click.FloatRange(0, 86400), default=0.0, metavar="SECONDS", help="Watch until nothing differs."
)
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=5.0, show_default=True, help="Seconds between looks."
)
def status(
    output: str, targets: tuple[str, ...], listing: str | None, wait: float, interval: float, **options: Any
) -> None:
    """Show kube-proxy's state; with --node, prove it there against Services and EndpointSlices."""
    from amigen.kubeproxy import show
    from amigen.kubeproxy.readback import read_modes
    from amigen.kubeproxy.status import as_json, watch
    from amigen.kubeproxy.versions import states

    session = _session(options)
    if not targets and listing is None:
        observed = session.observed
        modes = read_modes(session.cluster, observed.pods, observed.nodes, observed.metrics, session.looks)
        if output == "json":
            echo_json(show.cluster_json(observed, modes))
        else:
            echo_text(show.cluster_text(observed, modes, states(observed.proxy_version)))
        wrong = [one.node for one in modes if one.mode and one.mode != observed.config.mode]
        if wrong:
            raise ChecksFailedError(f"{', '.join(wrong)}: not in the configured mode {observed.config.mode}")
        return
    text = read_text(listing, limit=_LISTING_BYTES) if listing is not None else None
    found, lasted = watch(
        lambda: session.compare(targets, text),
        session.clock,
        seconds=wait if targets else 0.0,
        interval=interval,
        say=lambda line: echo_line(f"[{time.strftime('%H:%M:%S')}] {line}", err=True),
    )
    if output == "json":
        echo_json([as_json(one, lasted) for one in found])
    else:
        echo_text(show.node_text(found, lasted, watched=bool(wait)))
    if lasted:
        raise ChecksFailedError(f"{len(lasted)} differences between the cluster and what is on the node")


@kube_proxy.command()
@_CLUSTER
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
    """Plan the way from ipvs (or iptables) to nftables; changes nothing in the cluster."""
    from amigen.kubeproxy import show
    from amigen.kubeproxy.config import read_config
    from amigen.kubeproxy.migrate import plan_migration
    from amigen.kubeproxy.versions import minor_version

    if config_file:
        if not kubernetes_version:
            raise InputError("--config needs --kubernetes-version", "such as --kubernetes-version 1.35")
        version = minor_version(kubernetes_version, "--kubernetes-version")
        found = plan_migration(read_config(read_text(config_file), config_file), version, name=name)
    else:
        seen = _session(options).observed
        found = plan_migration(seen.config, seen.proxy_version, seen.nodes, server_version=seen.version, name=name)
    if write_spec:
        try:
            with Path(write_spec).open("x", encoding="utf-8") as file:
                file.write(found.spec)
        except FileExistsError:
            raise InputError(f"{write_spec} is there already", "name another file") from None
    if output == "json":
        echo_json(show.migration_json(found))
    else:
        echo_text(show.migration_text(found))


def _session(options: dict[str, Any]) -> Session:
    """Imported here: boto3 and the Kubernetes client load only when a command runs."""
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

"""`amigen kube-proxy`: plan, apply, status, rollback, migrate; one idea: commands with options that they share.

Help imports neither the rooms of these commands nor boto3, which is imported where an EKS cluster is known.
"""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.base.errors import AwsError, InputError, RefusedError
from amigen.base.files import read_text
from amigen.cli.document import echo_json, echo_line, echo_text, output_option
from amigen.cli.durations import Duration
from amigen.cli.options import Group, ssh_options, with_options
from amigen.knowledge import PROXY_MODES

if TYPE_CHECKING:
    from amigen.kubeproxy.addon import Addon
    from amigen.kubeproxy.change import ChangePlan, ChangeRequest
    from amigen.kubeproxy.session import Session

# A table of a hundred thousand real servers.
_MAX_LISTING = 64 << 20

cluster_options = with_options(
    click.option("--kubeconfig", metavar="FILE", help="Kubeconfig file. Default: $KUBECONFIG, then ~/.kube/config."),
    click.option("--context", metavar="NAME", help="Context of the kubeconfig. Default: the current context."),
    click.option(
        "--cluster-name", metavar="NAME", help="EKS name of the cluster. Default: the name in the kubeconfig."
    ),
    click.option("--region", help="AWS region. Default: the region in the kubeconfig."),
    click.option("--profile", help="AWS profile."),
    click.option(
        "--pool-label",
        metavar="KEY",
        default="",
        help="Node label that names the pool. Default: the labels of EKS and Karpenter.",
    ),
    click.option(
        "--look",
        metavar="TARGET",
        help="Target to inspect each node, such as ssh://ec2-user@{address}; {name} is the name of the node.",
    ),
    *ssh_options,
)
roll_options = with_options(
    click.option(
        "--by-pool",
        is_flag=True,
        help="Restart one node pool after the other, and stop at the first that is not healthy.",
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
        help="How the add-on resolves conflicts with manual edits.",
    ),
)
change_options = with_options(
    click.option("--mode", type=click.Choice(PROXY_MODES), help="kube-proxy's mode; required without --spec."),
    click.option("--scheduler", metavar="NAME", help="IPVS scheduler; the same as --set ipvs.scheduler=NAME."),
    click.option(
        "--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Set a field, such as ipvs.strictARP=true."
    ),
    click.option("--spec", "spec_file", metavar="FILE", help="Take mode, scheduler and strictARP from a spec."),
    click.option("--by", type=click.Choice(["auto", "addon", "configmap"]), default="auto", show_default=True),
    click.option(
        "--verified", multiple=True, metavar="NODE=FILE", help="Report of `amigen verify` for a node. May be repeated."
    ),
)
execute_options = with_options(
    click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
    click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
    click.option(
        "--timeout",
        type=Duration("s", least=1, most=86400),
        default="10m",
        show_default=True,
        help="Longest wait for each pool.",
    ),
)


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
    _print_plan(_plan(_session(options), options), output)


@kube_proxy.command()
@cluster_options
@change_options
@roll_options
@execute_options
@output_option
def apply(output: str, **options: Any) -> None:
    """Change the mode: show the plan, ask, save the old configuration, write, restart and verify."""
    from amigen.kubeproxy.change import refuse_not_ready

    session = _session(options)
    found = _plan(session, options)
    _print_plan(found, output)
    if not options["dry_run"]:
        refuse_not_ready(found)
    _execute(session, found, output, options, back=False)


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
    from amigen.kubeproxy.saved import listed

    session = _session(options)
    if list_:
        for path in listed(session.cluster.name):
            click.echo(path)
        return
    where = Path(saved) if saved else None
    found = session.plan_back(_request(options), saved=where, discard=discard_later_changes)
    _print_plan(found, output)
    _execute(session, found, output, options, back=True)


@kube_proxy.command()
@cluster_options
@output_option
@click.option(
    "--node",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Compare this node: local, ssh://USER@HOST[:PORT], ssm://INSTANCE.",
)
@click.option("--listing", metavar="FILE", help="Compare a saved `ipvsadm -L -n`; `-` reads stdin.")
@click.option(
    "--scheduler",
    metavar="NAME",
    help="IPVS scheduler, for a kube-proxy without a ConfigMap (flags, k3s, RKE2, kOps, Talos); mode ipvs is assumed.",
)
@click.option(
    "--wait", type=Duration("s", most=86400), default="0s", help="Watch until nothing differs, at most so long."
)
@click.option(
    "--interval",
    type=Duration("s", least=0.2, most=3600),
    default="5s",
    show_default=True,
    help="Time between two polls.",
)
def status(
    output: str,
    targets: tuple[str, ...],
    listing: str | None,
    scheduler: str | None,
    wait: float,
    interval: float,
    **options: Any,
) -> None:
    """Show kube-proxy's state; with --node, prove it there against Services and EndpointSlices."""
    from amigen.ipvs.parse import parse
    from amigen.kubeproxy import show
    from amigen.kubeproxy.status import assumed_config
    from amigen.kubeproxy.watch import refuse_differences, watch

    session = _session(options)
    configured = assumed_config(scheduler) if scheduler else None
    if wait and not targets:
        raise InputError("--wait watches nodes", "name them with --node TARGET")
    if scheduler and not targets and listing is None:
        raise InputError("--scheduler goes with --node or --listing", "the cluster's own state needs its ConfigMap")
    if not targets and listing is None:
        _cluster(session, output)
        return
    # What is wrong in the input is said before the cluster is asked.
    nodes = session.connections(targets)
    table = (
        parse(read_text(listing, limit=_MAX_LISTING, hint="is it an IPVS listing?")) if listing is not None else None
    )
    seen, lasted = watch(
        lambda: session.compare(nodes, table, configured),
        seconds=wait,
        interval=interval,
        say=lambda line: echo_line(f"[{time.strftime('%H:%M:%S')}] {line}", err=True),
    )
    if output == "json":
        echo_json([show.node_json(one, lasted) for one in seen])
    else:
        echo_text(show.node_text(seen, lasted, watched=bool(wait)))
    refuse_differences(seen, lasted)


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
    from amigen.kubeproxy.migrate import migration_of_file, plan_migration, require_new, write_image_spec

    if write_spec is not None:
        require_new(write_spec)
    if config_file is not None and not kubernetes_version:
        raise InputError("--config needs --kubernetes-version", "such as --kubernetes-version 1.35")
    if config_file is not None:
        found = migration_of_file(config_file, str(kubernetes_version), name)
    else:
        seen = _session(options).observed
        found = plan_migration(seen, name, seen.version)
    if write_spec is not None:
        write_image_spec(found, write_spec)
    if output == "json":
        echo_json(show.migration_json(found))
    else:
        echo_text(show.migration_text(found))


def _request(options: dict[str, Any]) -> ChangeRequest:
    from amigen.kubeproxy.change import ChangeRequest
    from amigen.kubeproxy.readiness import read_verified

    return ChangeRequest(
        by=options.get("by", "auto"),
        despite_addon=options["despite_addon"],
        resolve=options["resolve"],
        by_pool=options["by_pool"] or bool(options["pools"]),
        pools=options["pools"],
        verified=dict(map(read_verified, options.get("verified", ()))),
    )


def _plan(session: Session, options: dict[str, Any]) -> ChangePlan:
    from amigen.kubeproxy.settings import settings_of
    from amigen.spec.load import load_spec

    request = _request(options)
    spec = load_spec(options["spec_file"]) if options["spec_file"] else None
    settings = settings_of(options["mode"], options["scheduler"], options["assignments"], spec)
    return session.plan(settings, request)


def _print_plan(found: ChangePlan, output: str) -> None:
    from amigen.kubeproxy import show

    if output == "json":
        echo_json(show.plan_json(found))
    else:
        echo_text(show.plan_text(found))


def _execute(session: Session, plan: ChangePlan, output: str, options: dict[str, Any], *, back: bool) -> None:
    """Ask, then do it and say what each node runs."""
    from amigen.kubeproxy.show import modes_text

    if plan.nothing_to_do:
        return
    if options["dry_run"]:
        click.echo("dry run: nothing was changed", err=True)
        return
    if not options["yes"]:
        if output == "json":  # the document is printed at the end
            raise RefusedError("--output json does not ask, so nothing was changed", "use --yes, or --dry-run")
        click.confirm(f"Change kube-proxy of {session.cluster.name} now?", abort=True, err=True)
    modes = session.apply(plan, lambda line: echo_line(line, err=True), seconds=options["timeout"], back=back)
    for line in ("mode of each node, read back:", *modes_text(modes)):
        echo_line(line, err=True)


def _cluster(session: Session, output: str) -> None:
    from amigen.kubeproxy import show
    from amigen.kubeproxy.health import refuse_problems

    observed = session.observed
    modes = session.modes()
    if output == "json":
        echo_json(show.cluster_json(observed, modes))
    else:
        echo_text(show.cluster_text(observed, modes))
    refuse_problems(observed, modes)


def _session(options: dict[str, Any]) -> Session:
    from amigen.kubeproxy.session import Session

    return Session(
        open_addon=_open_addon, **{one.name: options[one.name] for one in fields(Session) if one.name in options}
    )


def _open_addon(cluster: str, region: str, profile: str | None) -> Addon:
    from amigen.aws.session import Aws, AwsOptions, configured_region
    from amigen.kubeproxy.addon import Addon

    found = region or configured_region(profile)
    if not found:
        raise AwsError(f"the region of the EKS cluster {cluster} is not known", "name --region")
    return Addon(Aws(AwsOptions(profile=profile)), cluster, found)

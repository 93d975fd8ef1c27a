"""`amigen kube-proxy status`: the cluster's kube-proxy, and the proof on a node."""

from __future__ import annotations

import time
from typing import Any

import click

from amigen.base.errors import InputError
from amigen.base.files import read_text
from amigen.cli.document import echo_json, echo_line, echo_text, output_option
from amigen.cli.durations import Duration
from amigen.cli.kubeproxy_options import cluster_options, session_of
from amigen.ipvs.parse import parse
from amigen.kubeproxy import show
from amigen.kubeproxy.health import refuse_problems
from amigen.kubeproxy.session import Session
from amigen.kubeproxy.status import assumed_config
from amigen.kubeproxy.watch import refuse_differences, watch

# A table of a hundred thousand real servers.
_MAX_LISTING = 64 << 20


@click.command()
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
    session = session_of(options)
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


def _cluster(session: Session, output: str) -> None:
    observed = session.observed
    modes = session.modes()
    if output == "json":
        echo_json(show.cluster_json(observed, modes))
    else:
        echo_text(show.cluster_text(observed, modes))
    refuse_problems(observed, modes)

"""Options that several commands of `amigen kube-proxy` share."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from amigen.cli.durations import Duration
from amigen.cli.options import ssh_options, with_options
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy.session import Access, Session

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


def session_of(options: dict[str, Any]) -> Session:
    """The cluster that the options of `cluster_options` name."""
    return Session(Access(**{field.name: options[field.name] for field in dataclasses.fields(Access)}))

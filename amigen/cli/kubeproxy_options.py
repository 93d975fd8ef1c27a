"""Options that several commands of `amigen kube-proxy` share."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from amigen.cli.durations import Duration
from amigen.cli.options import ssh_options, with_options
from amigen.knowledge import PROXY_MODES

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

# Options that name the cluster and reach its nodes: a rollback needs the same.
_KEPT = ("cluster_name", "region", "profile", "pool_label", "look", "ssh_options", "identity", "pools")
_NAMES = {"pools": "pool", "ssh_options": "ssh-option"}


def way_back(options: Mapping[str, Any], *, context: str, saved: Path | None, despite_addon: bool) -> str:
    """The command that takes back what a command with these options did, from whatever folder it is run.

    Args:
        options: As click gave them.
        context: The context that was used; the current one may be another by then.
        saved: The configuration to go to; None: the newest.
        despite_addon: The ConfigMap was edited although the add-on manages it.
    """
    from amigen.kubernetes.kubeconfig import IN_CLUSTER

    words = ["amigen", "kube-proxy", "rollback"]
    if options["kubeconfig"]:
        words.append(f"--kubeconfig={Path(options['kubeconfig']).expanduser().absolute()}")
    if context != IN_CLUSTER:
        words.append(f"--context={context}")
    for key in _KEPT:
        given = options[key] or ()
        if key == "identity" and given:
            given = str(Path(given).expanduser().absolute())
        name = _NAMES.get(key, key).replace("_", "-")
        words += [f"--{name}={value}" for value in ((given,) if isinstance(given, str) else given)]
    words += ["--by-pool"] if options["by_pool"] else []
    words += ["--despite-addon"] if despite_addon else []
    words += [f"--saved={saved}"] if saved else []
    return shlex.join(words)

"""Which of the two manages kube-proxy's configuration: the EKS add-on, or the ConfigMap alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from amigen.base.errors import AwsError, RefusedError
from amigen.kubeproxy.addon import Addon, AddonState
from amigen.kubeproxy.daemonset import Json, managers

WayName: TypeAlias = Literal["addon", "configmap"]
ChooseBy: TypeAlias = Literal["auto", "addon", "configmap"]

# The field manager of server-side apply by which EKS writes add-ons
# (https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-field-management.html).
EKS_MANAGER = "eks"


@dataclass(frozen=True, kw_only=True)
class Managed:
    """Who manages kube-proxy, and by what that was seen.

    Attributes:
        addon: Its state; None: EKS lists none, or could not be asked.
        eks: Its calls; None where no EKS cluster is known.
        certain: False where it is EKS, and EKS was not asked.
    """

    way: WayName
    evidence: str
    addon: AddonState | None = None
    eks: Addon | None = None
    certain: bool = True

    @property
    def cluster(self) -> str:
        """The cluster's name in EKS; empty: not known."""
        return self.eks.cluster if self.eks else ""


# As the AWS CLI and eksctl write them.
_EKS_NAMES = (
    re.compile(r"arn:aws[a-z-]*:eks:(?P<region>[a-z0-9-]+):[0-9]{12}:cluster/(?P<cluster>[A-Za-z0-9_-]+)"),
    re.compile(r"(?:[^@\s]+@)?(?P<cluster>[A-Za-z0-9_-]+)\.(?P<region>[a-z0-9-]+)\.eksctl\.io"),
)


def eks_name(*names: str) -> tuple[str, str]:
    """Cluster and region in EKS out of names of cluster and context in a kubeconfig; empty: not an EKS cluster."""
    matches = (pattern.fullmatch(name) for name in names for pattern in _EKS_NAMES)
    return next(((match["cluster"], match["region"]) for match in matches if match), ("", ""))


def is_eks(server: str) -> bool:
    """Whether an API server's URL is of EKS.

    Endpoints of both families: https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html.
    """
    return bool(re.search(r"\.(eks\.amazonaws\.com(\.cn)?|api\.aws|amazonwebservices\.com\.cn)(:\d+)?/?$", server))


def detect(addon: Addon | None, config_map: Json, *, server: str, strict: bool = False) -> Managed:
    """Find out who manages it: by asking EKS, or where that cannot be, by who wrote the ConfigMap.

    Args:
        addon: The add-on's calls; None where no EKS cluster is known.
        config_map: kube-proxy's, with its managed fields.
        strict: True where the user named the EKS cluster: then EKS must answer.

    Raises:
        AwsError: `strict`, and EKS cannot be asked.
    """
    by_eks = EKS_MANAGER in managers(config_map)
    guess: WayName = "addon" if by_eks else "configmap"
    name = (config_map.get("metadata") or {}).get("name")
    wrote = f"configmap {name} is {'written' if by_eks else 'not written'} by the add-on (field manager {EKS_MANAGER})"
    if addon is None:
        where = "an EKS cluster whose name is not known" if is_eks(server) or by_eks else "no EKS cluster"
        return Managed(way=guess, evidence=f"{where}; {wrote}", certain=by_eks or not is_eks(server))
    try:
        state = addon.read()
    except AwsError as error:
        if strict:
            raise
        evidence = f"EKS could not be asked ({error.message}); {wrote}"
        certain = by_eks or not is_eks(server)
        return Managed(way=guess, evidence=evidence, eks=addon, certain=certain)
    lists = f"the add-on kube-proxy {state.version}" if state else "no add-on kube-proxy: it is self-managed"
    way: WayName = "addon" if state else "configmap"
    return Managed(way=way, evidence=f"EKS lists {lists}", addon=state, eks=addon)


def choose(managed: Managed, by: ChooseBy, *, despite_addon: bool) -> WayName:
    """The way to go.

    Raises:
        RefusedError: The other one manages it, or on EKS it is not known which of them.
    """
    if by == "auto" and not managed.certain:
        raise RefusedError(
            f"this is EKS, and whether its add-on manages kube-proxy is not known: {managed.evidence}",
            "name the cluster with --cluster-name and --region, and check the AWS credentials; where you know that"
            " kube-proxy is self-managed: --by configmap",
        )
    if by == "auto" or by == managed.way:
        return managed.way
    if by == "addon":
        raise RefusedError(
            f"the EKS add-on does not manage kube-proxy here: {managed.evidence}",
            "use --by configmap; or hand it to EKS first with `aws eks create-addon --addon-name kube-proxy`",
        )
    if despite_addon:
        return "configmap"
    raise RefusedError(
        f"the EKS add-on manages kube-proxy ({managed.evidence}): it would overwrite the ConfigMap at its next update",
        leave_addon(managed.cluster) + "; --despite-addon does it anyway, until the add-on's next update",
    )


def leave_addon(cluster: str) -> str:
    """How to go the ConfigMap's way on a cluster that the add-on manages."""
    return (
        "use the add-on, or take kube-proxy out of its hands and keep it running:"
        f" `aws eks delete-addon --cluster-name {cluster or 'CLUSTER'} --addon-name kube-proxy --preserve`,"
        " then --by configmap"
    )


def summary(managed: Managed) -> dict[str, Any]:
    """For JSON output."""
    version = managed.addon.version if managed.addon else None
    return {"way": managed.way, "evidence": managed.evidence, "addonVersion": version}

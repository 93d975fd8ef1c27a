"""The kinds of objects that amigen asks for: where they are in the API, and the words that RBAC has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from amigen.kubeproxy import shapes

NAMESPACE = "kube-system"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of objects: where they are in the API, what RBAC calls them, and what amigen reads of them."""

    root: str
    plural: str
    shape: Any = dict[str, Any]
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group as RBAC writes it; empty for core."""
        return "" if self.root == "/api/v1" else self.root.split("/")[2]

    def path(self, name: str = "", namespace: str = NAMESPACE) -> str:
        """The URL path; without `name` that of the list, without `namespace` that of all namespaces."""
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.root}{inside}/{self.plural}" + (f"/{quote(name, safe=':')}" if name else "")


CONFIG_MAPS = Kind(root="/api/v1", plural="configmaps", shape=shapes.ConfigMap)
PODS = Kind(root="/api/v1", plural="pods", shape=shapes.Pod)
NODES = Kind(root="/api/v1", plural="nodes", shape=shapes.Node, namespaced=False)
SERVICES = Kind(root="/api/v1", plural="services", shape=shapes.Named)
DAEMON_SETS = Kind(root="/apis/apps/v1", plural="daemonsets", shape=shapes.DaemonSet)
REVIEWS = Kind(
    root="/apis/authorization.k8s.io/v1",
    plural="selfsubjectaccessreviews",
    shape=shapes.Review,
    namespaced=False,
)
ENDPOINT_SLICES = Kind(root="/apis/discovery.k8s.io/v1", plural="endpointslices", shape=shapes.Named)


@dataclass(frozen=True)
class Asked:
    """What was asked for and where, in the words of RBAC."""

    kind: Kind
    name: str
    namespace: str

    @property
    def what(self) -> str:
        """Resource with group and name."""
        group = f".{self.kind.group}" if self.kind.group else ""
        return f"{self.kind.plural}{group}{f' {self.name}' if self.name else ''}"

    @property
    def option(self) -> str:
        """What kubectl needs to ask the same."""
        if not self.kind.namespaced:
            return ""
        return f" -n {self.namespace}" if self.namespace else " --all-namespaces"

    def __str__(self) -> str:
        if not self.kind.namespaced:
            return self.what
        return f"{self.what} {f'in namespace {self.namespace}' if self.namespace else 'across all namespaces'}"

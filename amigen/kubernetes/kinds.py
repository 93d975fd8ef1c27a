"""The kinds of objects that amigen asks for, where they are in the API, and what RBAC calls them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

NAMESPACE = "kube-system"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of objects: its name, where they are in the API, and what RBAC calls them."""

    name: str
    root: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group as RBAC writes it; empty for core."""
        return "" if self.root == "/api/v1" else self.root.split("/")[2]

    def path(self, name: str = "", namespace: str = NAMESPACE) -> str:
        """The URL path; without `name` that of the list, without `namespace` that of all namespaces."""
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.root}{inside}/{self.plural}" + (f"/{quote(name, safe=':')}" if name else "")


CONFIG_MAPS = Kind(name="ConfigMap", root="/api/v1", plural="configmaps")
PODS = Kind(name="Pod", root="/api/v1", plural="pods")
NODES = Kind(name="Node", root="/api/v1", plural="nodes", namespaced=False)
SERVICES = Kind(name="Service", root="/api/v1", plural="services")
DAEMON_SETS = Kind(name="DaemonSet", root="/apis/apps/v1", plural="daemonsets")
REVIEWS = Kind(
    name="SelfSubjectAccessReview",
    root="/apis/authorization.k8s.io/v1",
    plural="selfsubjectaccessreviews",
    namespaced=False,
)
ENDPOINT_SLICES = Kind(name="EndpointSlice", root="/apis/discovery.k8s.io/v1", plural="endpointslices")


@dataclass(frozen=True)
class Asked:
    """What was asked for and where, in the words of RBAC."""

    kind: Kind
    name: str = ""
    namespace: str = NAMESPACE

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

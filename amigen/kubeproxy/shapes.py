"""What amigen reads of Kubernetes' answers, and of which type: an answer that is not so is no answer.

Only a look: the objects themselves stay the JSON that they were, whole, so that what is written back loses nothing.
Go writes an empty map or list as `null` where the field is not `omitempty`, so nearly everything may be `null`.
Source: https://kubernetes.io/docs/reference/kubernetes-api/.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct, field

T = TypeVar("T")

# The API server accepts no other names of these kinds (DNS-1123 subdomain); they become part of paths and of messages.
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Words: TypeAlias = dict[str, str] | None


class _Fields(Struct, rename="camel"):
    """Names as Kubernetes writes them."""


class ManagedField(_Fields):
    manager: str = ""
    time: str | None = None


class ObjectMeta(_Fields):
    name: Name
    uid: str = ""
    namespace: Name | None = None
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Words = None
    annotations: Words = None
    managed_fields: list[ManagedField] | None = None


class Object(_Fields):
    metadata: ObjectMeta


class ConfigMap(Object):
    data: Words = None


class ListMeta(_Fields):
    continue_: str = field(default="", name="continue")


class Listed(_Fields, Generic[T]):
    """The list itself is always there, if only as `null`: without it the answer is none, and not an empty one."""

    items: list[T] | None
    metadata: ListMeta | None = None


# -- pods and the DaemonSet ------------------------------------------------------------------------------------------
class Condition(_Fields):
    type: str
    status: str = ""
    reason: str | None = None
    message: str | None = None


class State(_Fields):
    waiting: dict[str, Any] | None = None
    terminated: dict[str, Any] | None = None


class ContainerStatus(_Fields):
    state: State | None = None
    last_state: State | None = None
    restart_count: int | None = None


class PodStatus(_Fields):
    phase: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class FieldTerm(_Fields):
    key: str = ""
    values: list[str] | None = None


class SelectorTerm(_Fields):
    match_fields: list[FieldTerm] | None = None


class NodeSelector(_Fields):
    node_selector_terms: list[SelectorTerm] | None = None


class NodeAffinity(_Fields):
    required: NodeSelector | None = field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(_Fields):
    node_affinity: NodeAffinity | None = None


class KeyPath(_Fields):
    key: str
    path: str


class ConfigMapVolume(_Fields):
    name: Name | None = None
    items: list[KeyPath] | None = None


class Volume(_Fields):
    name: str
    config_map: ConfigMapVolume | None = None


class Mount(_Fields):
    mount_path: str
    name: str = ""


class Container(_Fields):
    name: str = ""
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    volume_mounts: list[Mount] | None = None


class PodSpec(_Fields):
    node_name: str | None = None
    affinity: Affinity | None = None
    volumes: list[Volume] | None = None
    containers: list[Container] | None = None


class Pod(Object):
    spec: PodSpec | None = None
    status: PodStatus | None = None


class TemplateMeta(_Fields):
    annotations: Words = None


class PodTemplate(_Fields):
    spec: PodSpec
    metadata: TemplateMeta | None = None


class Selector(_Fields):
    match_labels: Words = None


class UpdateStrategy(_Fields):
    type: str | None = None


class DaemonSetSpec(_Fields):
    template: PodTemplate
    selector: Selector | None = None
    update_strategy: UpdateStrategy | None = None


class DaemonSetStatus(_Fields):
    desired_number_scheduled: int | None = None


class DaemonSet(Object):
    spec: DaemonSetSpec
    status: DaemonSetStatus | None = None


# -- nodes -----------------------------------------------------------------------------------------------------------
class NodeAddress(_Fields):
    type: str
    address: str


class NodeInfo(_Fields):
    kernel_version: str | None = None
    os_image: str | None = None


class NodeStatus(_Fields):
    conditions: list[Condition] | None = None
    addresses: list[NodeAddress] | None = None
    node_info: NodeInfo | None = None


class Node(Object):
    status: NodeStatus | None = None


# -- services and their endpoints ------------------------------------------------------------------------------------
class Named(_Fields):
    """A Service or an EndpointSlice: one that is not as documented is one difference, and not the end of the answer."""

    metadata: dict[str, Any]


# -- answers that are no objects of a kind ---------------------------------------------------------------------------
class Allowed(_Fields):
    allowed: bool = False


class Review(_Fields):
    status: Allowed


class Version(_Fields):
    git_version: str


def misfit(answer: object, shape: Any, *, listed: bool = False) -> str:
    """What is wrong with an answer (a list of such objects), with its path; empty: nothing that amigen reads."""
    try:
        msgspec.convert(answer, Listed[shape] if listed else shape)
    except msgspec.ValidationError as error:
        return str(error)
    return ""

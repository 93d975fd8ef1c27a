"""The JSON documents of `--output json`; one idea: they are types, of which the JSON Schemas are made.

The functions that make a document return the type that is declared here, so that mypy compares the two. The tests
validate what the commands print against the schemas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from amigen.base.errors import InputError, Problem
from amigen.build.diff import ImageDiff
from amigen.build.doctor import Finding
from amigen.build.intent import Intent
from amigen.build.record import BuildRecord, record_schema
from amigen.images.base import BaseRow
from amigen.images.drift import Difference
from amigen.kubeproxy.change import Pool
from amigen.kubeproxy.nftables_mapping import Row
from amigen.kubeproxy.node_facts import NodeMode
from amigen.kubeproxy.readiness import Readiness
from amigen.publish.ledger import ledger_schema
from amigen.spec.schema import json_schema
from amigen.userdata.explain import Explanation
from amigen.verify.report import Report, Reports


class Failure(TypedDict):
    """A failure of the command. Findings, such as differences and failed checks, are results and not failures."""

    where: Annotated[str | None, Meta(description="Region, group or image that it concerns; null: the whole command.")]
    message: str
    hint: str | None
    exitCode: int


class Failed(TypedDict):
    """The document of a command that failed before it had another one."""

    errors: Annotated[list[Failure], Meta(description="Empty where nothing failed.")]


# -- publish, rollback -----------------------------------------------------------------------------------------------
class Action(TypedDict):
    """One step of a plan."""

    step: str
    title: str
    diff: list[str]


class PlaceResult(TypedDict):
    """One target in one region: its plan, and what came of it. Without a plan only `error` is set."""

    region: str
    platform: str
    architecture: str
    error: str | None
    image: NotRequired[Annotated[str | None, Meta(description="AMI; null: made by this plan.")]]
    template: NotRequired[Annotated[str | None, Meta(description="Id of the launch template.")]]
    version: NotRequired[int | None]
    actions: NotRequired[list[Action]]
    notes: NotRequired[list[str]]
    default: NotRequired[Annotated[int | None, Meta(description="After applying: the default version that was set.")]]
    done: NotRequired[Annotated[list[str], Meta(description="After applying: titles of the actions that were done.")]]
    warning: NotRequired[Annotated[str | None, Meta(description="After applying: what EC2 could not validate.")]]


Rollout = TypedDict(
    "Rollout",
    {
        "group": str,
        "from": Annotated[str | None, Meta(description="The version that the group names now.")],
        "to": Annotated[int | None, Meta(description="The version it gets; null: the one that the plan makes.")],
        "done": str | None,
        "takenBack": str | None,
        "error": str | None,
    },
)


class Published(TypedDict):
    """`publish`."""

    dryRun: bool
    ledger: NotRequired[Annotated[str, Meta(description="File; where something was applied.")]]
    places: list[PlaceResult]
    rollouts: list[Rollout]


class RolledBack(TypedDict):
    """`rollback`."""

    dryRun: bool
    places: list[PlaceResult]


# -- images ----------------------------------------------------------------------------------------------------------
class Bases(TypedDict):
    """`images base`."""

    bases: list[BaseRow]


class ListedImage(TypedDict):
    """An image of the spec, and what refers to it."""

    region: str
    image: str
    name: str
    state: str
    created: str
    deprecated: str | None
    lastLaunched: str | None
    digest: str | None
    platform: str | None
    architecture: str | None
    snapshots: list[str]
    usedBy: list[str]


class Unresolved(TypedDict):
    """What names its image in a way that could not be resolved: any image may be in use."""

    region: str
    what: str


class ImageList(TypedDict):
    """`images list`."""

    images: list[ListedImage]
    unresolved: list[Unresolved]


class PruneImage(ListedImage):
    """An image, and whether it goes."""

    usedByAccounts: Annotated[list[str], Meta(description="Other accounts, by EC2's usage report.")]
    remove: bool
    why: Annotated[str | None, Meta(description="Why it stays.")]


class NotRemoved(TypedDict):
    """What could not be removed."""

    what: str
    error: str


class RegionResult(TypedDict):
    """One region."""

    region: str
    error: str | None
    leftoverSnapshots: list[str]
    usageReports: Annotated[list[str], Meta(description="Shared images whose usage report is requested by `--apply`.")]
    notes: list[str]
    images: list[PruneImage]
    removed: list[str]
    failed: list[NotRemoved]


class Pruned(TypedDict):
    """`images prune`."""

    dryRun: bool
    regions: list[RegionResult]


class Drift(TypedDict):
    """`images drift`."""

    drift: list[Difference]
    notes: Annotated[list[Difference], Meta(description="Worth knowing, and asked for by somebody.")]


class ImageDiffs(TypedDict):
    """`images diff`."""

    diffs: list[ImageDiff]


# -- fleet -----------------------------------------------------------------------------------------------------------
class FleetPreview(TypedDict):
    """`fleet verify --dry-run`."""

    dryRun: bool
    instances: Annotated[dict[str, list[str]], Meta(description="Region -> instances that would be asked.")]


class FleetInstance(TypedDict):
    """An instance with its report, or why there is none."""

    instance: str
    region: str
    platform: str | None
    problem: str | None
    report: Report | None


class FleetResult(TypedDict):
    """`fleet verify`."""

    summary: dict[str, int]
    instances: list[FleetInstance]


# -- plan, check -------------------------------------------------------------------
class PlannedPackage(TypedDict):
    """A package that is installed."""

    name: str
    version: str | None


class PlannedFile(TypedDict):
    """A file that is written."""

    path: str
    owner: str
    group: str
    mode: str


class PlannedStep(TypedDict):
    """A step, and the checks that prove it."""

    kind: str
    title: str
    stage: str
    checks: list[str]


class PlatformPlan(TypedDict):
    """What will be on a node of one platform."""

    name: str
    digest: str
    platform: str
    architectures: list[str]
    kubernetesVersion: str
    kubeProxyMode: str
    packages: list[PlannedPackage]
    files: list[PlannedFile]
    modules: list[str]
    sysctls: dict[str, str]
    steps: list[PlannedStep]
    always: list[str]


class Plans(TypedDict):
    """`plan`."""

    plans: list[PlatformPlan]


class CheckedSpec(TypedDict):
    """`check` of one spec."""

    file: str
    ok: bool
    problems: list[Problem]


class CheckedSpecs(TypedDict):
    """`check` of several specs."""

    ok: bool
    files: list[CheckedSpec]


# -- kube-proxy ------------------------------------------------------------------------------------------------------
class Managed(TypedDict):
    """Who manages kube-proxy."""

    way: str
    evidence: str
    addonVersion: str | None


class Mode(TypedDict):
    """A mode in this version of kube-proxy."""

    mode: str
    since: str
    state: str
    says: str
    source: str
    planned: bool


class Configured(TypedDict):
    """The configuration in force."""

    mode: str
    scheduler: str


class ProxyPod(TypedDict):
    """A kube-proxy pod."""

    node: str
    name: str
    ready: bool
    why: str


class NodeDifference(TypedDict):
    """A difference between the cluster and the node."""

    kind: str
    subject: str
    says: str
    why: str
    lastedSeconds: float


class ProxyNode(TypedDict):
    """`kube-proxy status --node`: one node, or a saved listing."""

    subject: str
    unseen: Annotated[str | None, Meta(description="Why the node could not be looked at.")]
    facts: list[str]
    notes: Annotated[list[str], Meta(description="What is worth knowing and is no difference.")]
    differences: list[NodeDifference]


class ProxyPlan(TypedDict):
    """`kube-proxy plan`, `apply` and `rollback`: what changes."""

    cluster: str
    server: str
    proxyVersion: str
    managed: Managed
    way: str
    now: Configured
    then: Annotated[dict[str, Any], Meta(description="Field of KubeProxyConfiguration -> value.")]
    changes: bool
    drift: list[str]
    follow: Annotated[str, Meta(description="Id of an add-on update that is followed; empty: none.")]
    stale: list[str]
    modes: list[Mode]
    disruption: list[str]
    warnings: list[str]
    nodes: list[Readiness]
    pools: list[Pool]
    calls: list[str]
    diff: str


class ProxyStatus(TypedDict):
    """`kube-proxy status`."""

    cluster: str
    server: str
    version: str
    proxyVersion: str
    managed: Managed
    configured: Configured
    pods: list[ProxyPod]
    stale: list[str]
    missing: int
    drift: list[str]
    modes: list[NodeMode]
    problems: list[str]
    notes: list[str]


class ProxyMigration(TypedDict):
    """`kube-proxy migrate`."""

    mode: str
    version: str
    state: Mode
    blocked: str | None
    settings: list[Row]
    differences: Annotated[list[str], Meta(description="What works otherwise in nftables mode, with its remedy.")]
    needs: list[str]
    nodes: list[Readiness]
    steps: list[str]
    cleanup: list[str]
    spec: str
    strangers: list[str]


# The words of a command -> the types of its documents.
OUTPUTS: dict[str, tuple[Any, ...]] = {
    "check": (CheckedSpec, CheckedSpecs),
    "plan": (Plans,),
    "doctor": (list[Finding],),
    "user-data explain": (Explanation,),
    "build": (BuildRecord, Intent),
    "verify": (Report, Reports),
    "publish": (Published,),
    "rollback": (RolledBack,),
    "images base": (Bases,),
    "images list": (ImageList,),
    "images prune": (Pruned,),
    "images drift": (Drift,),
    "images diff": (ImageDiffs,),
    "fleet verify": (FleetResult, FleetPreview),
    "kube-proxy plan": (ProxyPlan,),
    "kube-proxy apply": (ProxyPlan,),
    "kube-proxy rollback": (ProxyPlan,),
    "kube-proxy status": (ProxyStatus, list[ProxyNode]),
    "kube-proxy migrate": (ProxyMigration,),
}

# What amigen reads and writes as files.
FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "spec": json_schema,
    "build-record": record_schema,
    "ledger": ledger_schema,
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a file, or of what a command prints with `--output json`.

    Args:
        name: A key of `FILES` or `OUTPUTS`.

    Raises:
        InputError: There is no such document.
    """
    if name in FILES:
        return FILES[name]()
    if name not in OUTPUTS:
        raise InputError(f"{name!r} has no JSON Schema", f"known: all, {', '.join((*FILES, *OUTPUTS))}")
    # Where the command failed before it had a document, the errors are all there is.
    types = (*OUTPUTS[name], Failed)
    forms, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    errors = components["Failed"]["properties"]["errors"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"amigen {name} --output json",
        "anyOf": [_with_errors(form, components, errors) for form in forms],
        "$defs": components,
    }


def _with_errors(form: dict[str, Any], components: dict[str, Any], errors: dict[str, Any]) -> dict[str, Any]:
    """A document as it is printed; its type may also stand inside another document, and has no `errors` there."""
    found = components.get(form.get("$ref", "").rpartition("/")[2])
    if found is None:
        return form
    properties = {**found["properties"], "errors": errors}
    return {**found, "properties": properties, "required": sorted({*found.get("required", ()), "errors"})}

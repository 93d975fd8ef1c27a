"""What will really arrive on the node, and what is wrong with it. Offline and pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from amigen.base.errors import Problem
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.lint import lint, run_order
from amigen.userdata.mime import Part
from amigen.userdata.own import is_own_node_config, is_own_script
from amigen.userdata.size import Size, size_of
from amigen.userdata.systems import SYSTEMS, WITHOUT_NODEADM, System, SystemName, arrive

# How nodeadm merges a later NodeConfig into an earlier one: maps deeply, the later value wins, kubelet flags add up
# (amazon-eks-ami nodeadm/internal/api/merge.go).
_ADDED_UP = {"spec.kubelet.flags"}
_REQUIRED = ("name", "apiServerEndpoint", "certificateAuthority", "cidr")


class ArrivedPart(Struct, frozen=True, kw_only=True):
    """A part as it arrives; no size for what another system adds, whose bytes are not known here.

    Attributes:
        number: Its place in the document as given; one more than there are for the system's own.
        filename: The name under which cloud-init stores a script.
        named: Its name in the document as given, which the system may forget.
        wrapped: How it is packed.
        runs: By whom, and when.
    """

    number: int
    type: str
    origin: str
    filename: str
    named: str
    wrapped: tuple[str, ...]
    runs: str
    size: Size | None


class Field(Struct, frozen=True, kw_only=True):
    """A NodeConfig field: who sets it, in order; the last wins unless they are added up."""

    path: str
    value: str
    set_by: tuple[str, ...]
    winner: str


class Explanation(Struct, frozen=True, kw_only=True):
    """What happens to user data in one system; its parts stand in the order in which they run."""

    system: SystemName
    about: System
    bytes: int
    document: Size
    wrapped: tuple[str, ...]
    parts: tuple[ArrivedPart, ...]
    fields: tuple[Field, ...]
    problems: tuple[Problem, ...]


def explain(raw: bytes, system: SystemName, *, origin: str = "yours", nodeadm: bool = True) -> Explanation:
    """Explain user data that anybody wrote.

    Args:
        raw: As it would be given to EC2, with or without base64 around it.
        system: Who launches the nodes.
        origin: Whose parts these are, for the output.
        nodeadm: False for platforms that nodeadm does not join (Ubuntu, Debian): no system merges a NodeConfig there.
    """
    document = parse(raw, origin)
    about = (SYSTEMS if nodeadm else WITHOUT_NODEADM)[system]
    given = tuple(_known(part) for part in document.parts)
    arrived = arrive(given, about, system)
    # A part is called by its place in the document; the system's own comes after them, wherever it arrives.
    places = iter(range(1, len(given) + 1))
    numbers = [len(given) + 1 if part.origin == system else next(places) for part in arrived]
    fields, problems = _fields(arrived, numbers, about, system)
    rows = [
        _arrived(place, number, part, "" if part.origin == system else given[number - 1].filename, system)
        for place, (number, part) in enumerate(zip(numbers, arrived, strict=True), 1)
    ]
    rows.sort(key=lambda row: run_order(row[1].type, row[1].filename, row[0]))
    return Explanation(
        system=system,
        about=about,
        bytes=document.size,
        document=size_of(document.content),
        wrapped=document.wrapped,
        parts=tuple(row for _, row in rows),
        fields=fields,
        problems=(*document.problems, *problems, *lint(document, given, arrived, about)),
    )


def _known(part: Part) -> Part:
    """The part, as amigen's where it is: it may have been made long ago, and have been through other hands."""
    mine = is_own_script(part) or is_own_node_config(part)
    return replace(part, origin="amigen") if mine and part.origin == "yours" else part


_RUNS = {
    mime.SHELL: "by cloud-init, at the end of the first boot (cloud-final), in the order of the names",
    mime.BOOTHOOK: "by cloud-init, at every boot, before all else",
    mime.CLOUD_CONFIG: "by cloud-init's modules, before scripts (runcmd: among them, by the name runcmd)",
    mime.NODE_CONFIG: "by nodeadm, which starts kubelet after cloud-init has ended",
} | dict.fromkeys(mime.BY_FREQUENCY, "by cloud-init, at the end of a boot (cloud-final), before the other scripts")


def _arrived(place: int, number: int, part: Part, named: str, system: SystemName) -> tuple[int, ArrivedPart]:
    known = part.origin != system
    script = part.type == mime.SHELL or part.type in mime.BY_FREQUENCY
    row = ArrivedPart(
        number=number,
        type=part.type,
        origin=part.origin,
        filename=mime.run_name(part, place) if script else part.filename,
        named=named,
        wrapped=part.wrapped,
        runs=_RUNS.get(part.type, "by cloud-init's handler of this type, if it has one"),
        size=size_of(part.content) if known else None,
    )
    return place, row


def _fields(
    parts: tuple[Part, ...], numbers: list[int], about: System, system: SystemName
) -> tuple[tuple[Field, ...], list[Problem]]:
    """Who sets which NodeConfig field, and whose value holds."""
    problems: list[Problem] = []
    values: dict[str, list[tuple[str, str]]] = {}
    for number, part in zip(numbers, parts, strict=True):
        if part.type != mime.NODE_CONFIG:
            continue
        if part.origin == system:
            for path in about.fields:
                values.setdefault(path, []).append((part.origin, f"(set by {system})"))
            continue
        config, problem = _read(part, number)
        problems += problem
        for path, value in _flat(config, ""):
            values.setdefault(path, []).append((f"part {number} ({part.origin})", value))
    problems += _incomplete(values)
    fields = []
    for path, setters in sorted(values.items()):
        added = path in _ADDED_UP and len(setters) > 1
        winner = "all of them, added up" if added else setters[-1][0]
        fields.append(Field(path=path, value=setters[-1][1], set_by=tuple(s for s, _ in setters), winner=winner))
        if len(setters) > 1 and not added and setters[-1][0] == system:
            message = f"{path} is set by {setters[0][0]} and then by {system}, whose value wins"
            problems.append(Problem(severity="warning", message=message, source=about.source))
    return tuple(fields), problems


def _incomplete(values: dict[str, list[tuple[str, str]]]) -> list[Problem]:
    missing = [name for name in _REQUIRED if f"spec.cluster.{name}" not in values]
    if not values or not missing:
        return []
    message = f"the NodeConfig lacks spec.cluster.{', spec.cluster.'.join(missing)}: nodeadm does not start"
    return [Problem(message=message, hint="set join.eks", source="amazon-eks-ami nodeadm/api/v1alpha1 validation")]


def _read(part: Part, number: int) -> tuple[dict[str, Any], list[Problem]]:
    from amigen.spec.document import DocumentError, compose

    try:
        node = compose(part.content)
        import yaml

        # Each value as the text that stands there: no tag is looked at, and no number is made of a million digits.
        config = yaml.constructor.BaseConstructor().construct_document(node)
    except DocumentError as error:
        return {}, [Problem(message=f"part {number}: the NodeConfig {error.problem.message}")]
    except yaml.YAMLError as error:
        reason = str(error).replace("\n", " ")
        return {}, [Problem(message=f"part {number}: the NodeConfig cannot be read: {reason}")]
    if not isinstance(config, dict):
        return {}, [Problem(message=f"part {number}: the NodeConfig is not a mapping")]
    problems = []
    if config.get("kind") != "NodeConfig" or not str(config.get("apiVersion", "")).startswith("node.eks.aws/"):
        kind = _shown(f"{config.get('apiVersion')} {config.get('kind')}")
        message = f"part {number} is typed as NodeConfig and is {kind}"
        problems.append(Problem(message=message, hint="apiVersion: node.eks.aws/v1alpha1, kind: NodeConfig"))
    return config, problems


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            if path or key == "spec":
                yield from _flat(child, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, _shown(str(value))


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."

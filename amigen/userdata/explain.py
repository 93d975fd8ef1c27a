"""What will really arrive on the node, and what is wrong with it. Offline and pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from amigen.errors import Problem
from amigen.userdata import mime
from amigen.userdata.document import Document, parse
from amigen.userdata.mime import Part
from amigen.userdata.size import LIMIT, Size, size_of
from amigen.userdata.systems import SYSTEMS, System, SystemName, arrive, without_nodeadm

# How nodeadm merges a later NodeConfig into an earlier one: maps deeply, the later value wins, kubelet flags add up
# (amazon-eks-ami nodeadm/internal/api/merge.go).
_ADDED_UP = {"spec.kubelet.flags"}
_REQUIRED = ("name", "apiServerEndpoint", "certificateAuthority", "cidr")


class ArrivedPart(Struct, frozen=True, kw_only=True):
    """A part as it arrives; no size for what another system adds, whose bytes are not known here."""

    number: int
    type: str
    origin: str
    filename: str
    runs: str
    size: Size | None


class Field(Struct, frozen=True, kw_only=True):
    """A NodeConfig field: who sets it, in order; the last wins unless they are added up."""

    path: str
    value: str
    set_by: tuple[str, ...]
    winner: str


class Explanation(Struct, frozen=True, kw_only=True):
    """What happens to user data in one system."""

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
    about = SYSTEMS[system] if nodeadm else without_nodeadm(SYSTEMS[system])
    arrived = arrive(document.parts, about, system)
    fields, problems = _fields(arrived, about, system)
    return Explanation(
        system=system,
        about=about,
        bytes=document.size,
        document=size_of(_unpacked(raw)),
        wrapped=document.wrapped,
        parts=tuple(_arrived(number, part, system) for number, part in enumerate(arrived, 1)),
        fields=fields,
        problems=(*document.problems, *problems, *_lint(document, about, system)),
    )


def _unpacked(raw: bytes) -> bytes:
    try:
        return mime.unpack(raw)[0]
    except ValueError:
        return raw


def _arrived(number: int, part: Part, system: SystemName) -> ArrivedPart:
    runs = {
        mime.SHELL: "by cloud-init, at the end of the first boot (cloud-final), in the order of the names",
        mime.BOOTHOOK: "by cloud-init, at every boot, before all else",
        mime.CLOUD_CONFIG: "by cloud-init's modules, before scripts",
        mime.NODE_CONFIG: "by nodeadm, which starts kubelet after cloud-init has ended",
    }.get(part.type, "by cloud-init's handler of this type, if it has one")
    known = part.content or part.origin != system
    filename = part.filename or (f"part-{number:03d}" if part.type == mime.SHELL else "")
    size = size_of(part.content) if known else None
    return ArrivedPart(number=number, type=part.type, origin=part.origin, filename=filename, runs=runs, size=size)


def _lint(document: Document, about: System, system: SystemName) -> Iterator[Problem]:
    if document.size > LIMIT:
        hint = "--gzip, or bake more into the image"
        yield Problem(message=f"has {document.size} bytes; EC2 takes {LIMIT} (before base64)", hint=hint)
    if document.type != mime.MULTIPART and about.needs_mime:
        message = f"is {document.type}, and {about.title} needs MIME multi-part"
        yield Problem(message=message, hint="amigen user-data --format mime --merge FILE", source=about.source)
    if "gzip" in document.wrapped and not about.takes_gzip:
        message = f"is gzip as a whole, and {about.title} must read it to merge its own part"
        yield Problem(
            message=message, hint="without --gzip, scripts alone are packed where they must be", source=about.source
        )
    if system == "eksctl" and document.type == mime.MULTIPART:
        message = (
            "eksctl takes scripts (preBootstrapCommands) and a NodeConfig (overrideBootstrapCommand), not multi-part"
        )
        hint = "give it the shell format in preBootstrapCommands, or use a launch template"
        yield Problem(message=message, hint=hint, source="eksctl pkg/nodebootstrap/al2023.go, issue 7895")
    yield from _scripts(document.parts)
    configs = [part for part in document.parts if part.type == mime.NODE_CONFIG]
    if len(configs) > 1:
        message = f"holds {len(configs)} NodeConfigs: nodeadm merges them in order, and the last wins"
        yield Problem(severity="warning", message=message, hint="make them one")


def _scripts(parts: tuple[Part, ...]) -> Iterator[Problem]:
    scripts = [part for part in parts if part.type == mime.SHELL]
    own = next((part for part in scripts if part.origin == "amigen"), None)
    for part in scripts:
        if own and part is not own and part.filename and part.filename < own.filename:
            message = f"the script {part.filename} runs before amigen's {own.filename}: modules are not there yet"
            yield Problem(severity="warning", message=message, hint="give it a later name, or none")
        first = part.content.split(b"\n", 1)[0]
        if b"\r" in first:
            wanted = first.decode("utf-8", "replace")
            message = f"the script {part.filename or '(no name)'} has DOS line ends: the kernel looks for {wanted!r}"
            yield Problem(message=message, hint="save it with Unix line ends")


def _fields(parts: tuple[Part, ...], about: System, system: SystemName) -> tuple[tuple[Field, ...], list[Problem]]:
    """Who sets which NodeConfig field, and whose value holds."""
    problems: list[Problem] = []
    values: dict[str, list[tuple[str, str]]] = {}
    for number, part in enumerate(parts, 1):
        if part.type != mime.NODE_CONFIG:
            continue
        if part.origin == system and not part.content:
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

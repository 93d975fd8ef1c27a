"""What will really arrive on the node, and what is wrong with it. Offline and pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from amigen.userdata import at_start, gomime, mime, nodeconfig
from amigen.userdata.arrival import Placed, arrive
from amigen.userdata.document import parse
from amigen.userdata.drop_ins import DROP_INS, DropIn, drop_ins
from amigen.userdata.finding import Finding, error, note, warning
from amigen.userdata.lint import is_script, lint, run_order
from amigen.userdata.mime import Part
from amigen.userdata.own import is_own_node_config, is_own_script
from amigen.userdata.readers import beaten, cloud_init_findings, go_findings
from amigen.userdata.size import Size, size_of
from amigen.userdata.systems import SYSTEMS, WITHOUT_NODEADM, System, SystemName


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
    problems: tuple[Finding, ...]


def explain(
    raw: bytes,
    system: SystemName,
    *,
    origin: str = "yours",
    nodeadm: bool = True,
    files: Sequence[DropIn] = (),
    version: str = "",
) -> Explanation:
    """Explain user data that anybody wrote.

    Args:
        raw: As it would be given to EC2, with or without base64 around it.
        system: System that launches the nodes.
        origin: Whose parts these are, for the output.
        files: Drop-ins for nodeadm that the image or the script of the spec brings.
        version: Kubernetes of the nodes, as `MAJOR.MINOR`; empty where it is not known.
        nodeadm: False for platforms that nodeadm does not join (Ubuntu, Debian): no system merges a NodeConfig there.
    """
    document = parse(raw, origin)
    document = replace(document, parts=tuple(_known(part) for part in document.parts))
    about = (SYSTEMS if nodeadm else WITHOUT_NODEADM)[system]
    arrival = arrive(document, about, system, origin)
    placed = arrival.parts
    given = tuple(each.given for each in placed if each.given)
    theirs = tuple(each.part for each in placed if each.given)
    by_name = {drop_in.name: drop_in for drop_in in (*files, *drop_ins(theirs))}
    written = [by_name[name] for name in sorted(by_name)] if nodeadm else []
    fields, problems = _fields(placed, about, system, written, version if nodeadm else None)
    if nodeadm:
        problems += _joining(given, about, written)
    read = [
        *arrival.document.problems,
        *go_findings(arrival.document, about, nodeadm=nodeadm),
        *problems,
        *cloud_init_findings(theirs, about),
    ]
    # What is in these parts nobody can read; `lint` says so.
    hidden = tuple(f"part {n}{after}" for n in arrival.coded if given[n - 1].type != mime.NODE_CONFIG for after in " :")
    read = [p for p in read if not (hidden and p.message.startswith(hidden))]
    found = [*arrival.findings, *read, *lint(document, placed, about, nodeadm=nodeadm)]
    # One cause, one finding: what nodeadm cannot read as a whole, or nobody.
    unread = {p.rule for p in found if p.severity == "error" and p.reader == "nodeadm"}
    unread = {rule for rule in unread if rule == "kind" or rule.startswith("mime-")}
    found = [
        p
        for p in found
        if not (unread and p.rule == "nothing-joins") and not (p.rule in unread and p.reader == "cloud-init")
    ]
    return Explanation(
        system=system,
        about=about,
        bytes=document.size,
        document=size_of(document.content),
        wrapped=document.wrapped,
        parts=tuple(map(_arrived, sorted(placed, key=run_order))),
        fields=fields,
        problems=tuple(found),
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


def _arrived(placed: Placed) -> ArrivedPart:
    part, runs = placed.part, mime.effective(placed.part).type
    return ArrivedPart(
        number=placed.number,
        type=part.type,
        origin=part.origin,
        filename=mime.run_name(part, placed.place) if is_script(runs) else part.filename,
        named=placed.given.filename if placed.given else "",
        wrapped=part.wrapped,
        runs=_RUNS.get(runs, "by cloud-init's handler of this type, if it has one"),
        size=size_of(part.content) if placed.given else None,
    )


def _fields(
    placed: tuple[Placed, ...], about: System, system: SystemName, written: list[DropIn], version: str | None
) -> tuple[tuple[Field, ...], list[Finding]]:
    """Who sets which NodeConfig field, and whose value holds after nodeadm has merged them all."""
    problems: list[Finding] = []
    setters: dict[str, list[tuple[str, str]]] = {}
    merged: dict[str, Any] = {}

    def add(who: str, content: bytes, where: str) -> None:
        nonlocal merged
        found = nodeconfig.read(content, through_eksctl=system == "eksctl" and who.startswith("part "))
        problems.extend(replace(p, message=f"{where}: {p.message}") for p in found.findings)
        for path, value in _flat(found.config.get("spec", {}), "spec"):
            setters.setdefault(path, []).append((who, value))
        try:
            merged = nodeconfig.merge(merged, found.config)
        except nodeconfig.MergeError as wrong:
            problems.append(error("nodeadm", "toml", f"{where}: {wrong}", "", _SOURCE))

    configs = [each for each in placed if each.given and each.part.type == mime.NODE_CONFIG]
    for each in placed:
        if each.given is None:
            for path in about.fields:
                setters.setdefault(path, []).append((system, f"(set by {system})"))
        elif each in configs:
            add(f"part {each.number} ({each.part.origin})", each.part.content, f"part {each.number}")
    whole = all(each.given for each in placed)
    unread = any(p.rule == "node-config" and p.severity == "error" for p in problems)
    # nodeadm-config judges the user data, and nodeadm-run judges it with the drop-ins.
    for drop_in in (None, *written):
        if drop_in:
            _add_drop_in(drop_in, add, problems)
        for found in nodeconfig.validate(merged, whole=whole) if configs and not unread else ():
            problems += [found] if found not in problems else []
    for flag, field, value in beaten(merged):
        message = f"{flag} in spec.kubelet.flags beats spec.kubelet.config.{field} ({_shown(_text(value))})"
        problems.append(warning("kubelet", "flags", message, "set it once"))
    if version is not None:
        problems += at_start.findings(merged, version, cluster=about.node_config != "last")
    values = dict(_flat(merged.get("spec", {}), "spec"))
    fields = []
    for path, by_whom in sorted(setters.items()):
        winner, value = by_whom[-1]
        several = len(by_whom) > 1 and nodeconfig.how(path) in ("append", "toml")
        if len(by_whom) > 1 and not several and winner == system:
            message = f"{path} is set by {by_whom[0][0]} and then by {system}, whose value wins"
            problems.append(warning("", "field", message, "", about.source))
        if winner != system:
            value = values.get(path, value)
        if several:
            winner = "all of them, added up" if nodeconfig.how(path) == "append" else "all of them, merged"
        fields.append(Field(path=path, value=value, set_by=tuple(who for who, _ in by_whom), winner=winner))
        if setting := next((about.depends[name] for name in about.depends if f"{path}.".startswith(f"{name}.")), ""):
            message = f"{path} is overridden where the node class has {setting}"
            problems.append(note("karpenter", "", message, "", about.source))
    return tuple(fields), problems


_SOURCE = "nodeadm internal/api/merge.go"


def _add_drop_in(drop_in: DropIn, add: Callable[[str, bytes, str], None], problems: list[Finding]) -> None:
    path = f"{DROP_INS}/{drop_in.name}"
    where = f"{path}, by {drop_in.by}"
    if drop_in.content is None:
        problems.append(note("nodeadm", "drop-in", f"{where}, cannot be read here: what it sets wins"))
        return
    contents, refusal = gomime.node_configs(drop_in.content)
    if refusal:
        problems.append(error("nodeadm", f"mime-{refusal.rule}", f"{where}: {refusal.message}", refusal.hint))
    for content in contents:
        add(path, content, where)


def _joining(given: tuple[Part, ...], about: System, written: list[DropIn]) -> Iterator[Finding]:
    """nodeadm-config.service reads user data alone, and nodeadm-run needs it: a drop-in alone joins nothing."""
    if written and not about.node_config and not any(part.type == mime.NODE_CONFIG for part in given):
        message = (
            f"the NodeConfig is only in {DROP_INS}/{written[0].name}: nodeadm-config reads user data alone and fails"
        )
        hint = f"put the cluster into a part of the type {mime.NODE_CONFIG}"
        yield error("nodeadm", "drop-in-only", message, hint, _SOURCE)


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """The leaves with their values as text; empty ones of typed fields do not count for nodeadm."""
    if path == "spec.containerd.config" and isinstance(value, dict):
        yield path, _shown(json.dumps(value, default=str))
    elif isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _flat(child, f"{path}.{key}")
    elif value or nodeconfig.api().kind(path) in ("", "optional bool"):
        yield path, _shown(_text(value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."

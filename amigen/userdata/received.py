"""User data that somebody names: a file of any origin, or a spec, of which it is made."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, structs

from amigen.base.errors import InputError, Problem
from amigen.plan.choose import one_plan
from amigen.platforms import PLATFORMS
from amigen.spec.gate import gate_off
from amigen.spec.load import existing_user_data
from amigen.spec.model import NodeImage
from amigen.userdata.document import parse
from amigen.userdata.drop_ins import DropIn, of_files
from amigen.userdata.explain import Explanation, explain
from amigen.userdata.finding import by
from amigen.userdata.make import user_data
from amigen.userdata.systems import SystemName


class Received(Struct, frozen=True, kw_only=True):
    """User data, and what is known of the nodes that get it.

    Attributes:
        origin: Whose it is, for the output.
        nodeadm: Whether nodeadm joins the nodes.
        gate: Why the gate of the spec is off, if it is.
        files: Drop-ins for nodeadm that the image brings.
        version: Kubernetes of the nodes, as `MAJOR.MINOR`; empty where it is not known.
    """

    raw: bytes
    origin: str = "yours"
    nodeadm: bool = True
    gate: Problem | None = None
    files: tuple[DropIn, ...] = ()
    version: str = ""

    def part(self, number: int) -> bytes:
        """The content of one part, unpacked, counted from 1.

        Raises:
            InputError: There is no such part.
        """
        parts = parse(self.raw).parts
        if number > len(parts):
            raise InputError(f"there is no part {number}", f"the document has {len(parts)}")
        return parts[number - 1].content

    def explain(self, system: SystemName) -> Explanation:
        """What arrives on the node."""
        found = explain(
            self.raw, system, origin=self.origin, nodeadm=self.nodeadm, files=self.files, version=self.version
        )
        return structs.replace(found, problems=(*found.problems, by("", self.gate))) if self.gate else found


def is_spec(raw: bytes) -> bool:
    """Whether a file is a spec, and not user data."""
    return b"amigen/v" in raw and parse(raw).type == "text/plain" and b"NodeImage" in raw


def of_file(raw: bytes, platform: str | None) -> Received:
    """User data of any origin, for nodes of a platform; None for one that nodeadm joins.

    Raises:
        InputError: amigen does not know the platform.
    """
    if platform and platform not in PLATFORMS:
        raise InputError(f"unknown platform {platform!r}", f"known: {', '.join(PLATFORMS)}")
    return Received(raw=raw, nodeadm=not platform or PLATFORMS[platform].joins_by == "nodeadm")


def of_spec(spec: NodeImage, file: Path, platform: str | None) -> Received:
    """User data of a spec.

    Raises:
        InputError: The spec has several platforms, or not this one.
    """
    plan = one_plan(spec, platform)
    return Received(
        raw=user_data(plan, merge=existing_user_data(spec, file)),
        origin="amigen",
        nodeadm=PLATFORMS[plan.platform].joins_by == "nodeadm",
        gate=gate_off(spec, plan.platform),
        files=tuple(of_files(spec.files)),
        version=spec.kubernetes_version,
    )

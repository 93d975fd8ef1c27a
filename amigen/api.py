"""The functions of the library that take a spec or a name: they refuse what the command line refuses.

A `NodeImage` may be made by hand, or changed, and so is checked here again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from amigen.base.errors import InputError
from amigen.plan import make
from amigen.plan.model import ImagePlan
from amigen.render import artifacts as artifacts_of
from amigen.render.artifacts import Artifact
from amigen.spec.load import parse_spec
from amigen.spec.model import NodeImage
from amigen.userdata import explain as explanation
from amigen.userdata.explain import Explanation
from amigen.userdata.systems import SYSTEMS, SystemName


def plan_images(spec: NodeImage) -> tuple[ImagePlan, ...]:
    """One plan per platform, in the order of the spec.

    Raises:
        SpecError: The spec has errors; all of them are in the message.
    """
    return make.plan_images(_checked(spec))


def plan_image(spec: NodeImage, platform: str) -> ImagePlan:
    """The plan of one platform.

    Raises:
        SpecError: The spec has errors.
        InputError: The spec does not have the platform.
    """
    for known in _checked(spec).platforms:
        if known == platform:
            return make.plan_image(spec, known)
    raise InputError(f"{platform} is not a platform of this spec", f"it has: {', '.join(spec.platforms)}")


def artifacts(spec: NodeImage, *, merge: bytes | None = None) -> tuple[Artifact, ...]:
    """All files of the rendered folder, sorted by path; the same spec gives the same bytes.

    Args:
        spec: The spec.
        merge: Content of the file that `userData.merge` names, from `existing_user_data`.

    Raises:
        SpecError: The spec has errors.
        InputError: The existing user data cannot be read, or is named by the spec and not given.
    """
    return artifacts_of.artifacts(_checked(spec), merge=merge)


def explain(raw: bytes, system: SystemName, *, origin: str = "yours", nodeadm: bool = True) -> Explanation:
    """Explain user data that anybody wrote: see `amigen.userdata.explain.explain`.

    Raises:
        InputError: No such system.
    """
    if system not in SYSTEMS:
        raise InputError(f"unknown system {system!r}", f"known: {', '.join(SYSTEMS)}")
    return explanation.explain(raw, system, origin=origin, nodeadm=nodeadm)


def _without_none(value: Any) -> Any:
    """What is not set is left out: a file cannot say None."""
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, (list, tuple)) else value


def _checked(spec: NodeImage) -> NodeImage:
    # The mapping takes the way of a file, with all its rules.
    parse_spec(_without_none(msgspec.to_builtins(spec)), "the spec")
    return spec

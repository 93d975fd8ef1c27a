"""Which platforms and architectures of a spec somebody asks for."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from amigen.base.errors import InputError
from amigen.plan.make import plan_image, plan_images
from amigen.plan.model import ImagePlan
from amigen.spec.model import NodeImage
from amigen.spec.reader import meant
from amigen.spec.values import Architecture, Platform


def selected(
    spec: NodeImage, platforms: Sequence[str], architectures: Sequence[str] = ()
) -> tuple[tuple[Platform, ...], tuple[Architecture, ...]]:
    """The chosen platforms and architectures in the order of the spec; all of a kind where none is chosen.

    Raises:
        InputError: The spec does not have one.
    """
    for given, known, word in (
        (platforms, spec.platforms, "a platform"),
        (architectures, spec.architectures, "an architecture"),
    ):
        for each in given:
            if each not in known:
                near = meant(each, known)
                hint = f"did you mean {near}?" if near else f"it has: {', '.join(known)}"
                raise InputError(f"{each} is not {word} of this spec", hint)
    return (
        tuple(each for each in spec.platforms if not platforms or each in platforms),
        tuple(each for each in spec.architectures if not architectures or each in architectures),
    )


def chosen_plans(spec: NodeImage, platforms: Sequence[str], architectures: Sequence[str] = ()) -> tuple[ImagePlan, ...]:
    """The plans of the chosen platforms, for the chosen architectures alone.

    Raises:
        InputError: The spec does not have one.
    """
    chosen, kept = selected(spec, platforms, architectures)
    return tuple(structs.replace(plan, architectures=kept) for plan in plan_images(spec) if plan.platform in chosen)


def one_plan(spec: NodeImage, platform: str | None, architecture: str | None = None) -> ImagePlan:
    """The plan of the platform that was asked for, or of the only one.

    Raises:
        InputError: The platform or architecture is not in the spec, or has to be chosen.
    """
    chosen, *others = selected(spec, (platform,) if platform else (), (architecture,) if architecture else ())[0]
    if others:
        raise InputError(f"the spec has several platforms: {', '.join(spec.platforms)}", "choose one with --platform")
    return plan_image(spec, chosen)

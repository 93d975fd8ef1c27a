"""The library refuses what the command line refuses."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

import amigen
from tests.specs import spec


def by_hand(**changes: Any) -> amigen.NodeImage:
    fields = {"api_version": "amigen/v1alpha1", "kind": "NodeImage", "name": "nodes", "kubernetes_version": "1.34"}
    return amigen.NodeImage(**{"platforms": ("al2023",), **fields, **changes})


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": "BAD NAME"}, "name"),
        ({"platforms": ("windows",)}, "platforms[0]"),
        ({"architectures": ()}, "architectures"),
    ],
)
def test_a_spec_made_by_hand_is_checked(changes: dict[str, Any], path: str) -> None:
    """With all problems, before anything is made of it."""
    for use in (amigen.plan_images, amigen.artifacts, lambda each: amigen.plan_image(each, "al2023")):
        with pytest.raises(amigen.SpecError) as error:
            use(by_hand(**changes))
        assert path in [problem.path for problem in error.value.problems]


def test_a_changed_spec_is_checked_again() -> None:
    """Also where the one before was right."""
    right = spec()
    assert len(amigen.plan_images(right)) == 1
    with pytest.raises(amigen.SpecError):
        amigen.plan_images(structs.replace(right, name="BAD NAME"))


def test_what_is_right_is_the_same_as_from_a_file() -> None:
    """By its digest."""
    assert amigen.plan_images(by_hand(name="ipvs-nodes"))[0].digest == amigen.plan_images(spec())[0].digest


def test_unknown_names_are_told_with_those_that_are_known() -> None:
    """Platforms, systems and formats."""
    (plan,) = amigen.plan_images(spec())
    calls: list[tuple[Any, str]] = [
        (lambda: amigen.plan_image(spec(), "debian-12"), "al2023"),
        (lambda: amigen.explain(b"", "nomad"), "karpenter"),  # type: ignore[arg-type]
        (lambda: amigen.export_files(plan, "pulumi"), "terraform"),  # type: ignore[arg-type]
    ]
    for call, known in calls:
        with pytest.raises(amigen.AmigenError) as error:
            call()
        assert known in error.value.hint

"""The rendered testinfra suite: every check of a plan as a test that a person can read and run without amigen's CLI."""

from __future__ import annotations

from functools import reduce
from typing import Any

from amigen.base.templates import render
from amigen.base.version import __version__
from amigen.checks import KINDS
from amigen.checks.model import GATE_UNIT
from amigen.facts.wanted import Wanted
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS


def suite_files(plan: ImagePlan) -> dict[str, str]:
    """The suite as files of the rendered platform folder: `tests/test_node.py` and `tests/test_image.py`.

    A check `test_x[subject]` is the test function `test_x` with the parameter `subject`; testinfra puts the host before
    it (`test_x[ssh://node-subject]`).
    """
    common: dict[str, Any] = {"name": plan.spec.name, "title": PLATFORMS[plan.platform].title, "version": __version__}
    parts = _parts(plan, image=False)
    text = "".join(kind.suite for kind in {type(check) for check in plan.checks})
    files = {
        "tests/test_node.py": render(
            "templates",
            "test_node.py.jinja",
            parts=parts,
            uses_json="json." in text,
            uses_not_provable="not_provable(" in text,
            judge_the_kernel=(GATE_UNIT,) if "JUDGE_THE_KERNEL" in text else (),
            facts=facts_of(plan),
            **common,
        )
    }
    if parts := _parts(plan, image=True):
        files["tests/test_image.py"] = render("templates", "test_image.py.jinja", parts=parts, **common)
    return files


def facts_of(plan: ImagePlan) -> dict[str, tuple[str, ...]]:
    """What the suite of a plan asks a node, as the keys of `amigen.facts.Wanted`; no empty kinds."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    checks = sorted(plan.checks, key=lambda check: order[type(check)])
    wanted = reduce(Wanted.__or__, (check.wanted for check in checks), Wanted())
    return {kind: values for kind, values in vars(wanted).items() if values}


def _parts(plan: ImagePlan, *, image: bool) -> list[str]:
    found = ((kind, [check for check in plan.checks if type(check) is kind]) for kind in KINDS if kind.image == image)
    return [kind.suite_text(checks) for kind, checks in found if checks]

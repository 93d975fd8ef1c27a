"""Where the gate is on by default: what README and docs say of it is true for the spec that `amigen init` writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amigen.checks.model import InstallGate
from amigen.plan.make import plan_images
from amigen.platforms import PLATFORMS
from amigen.spec.load import load_spec
from amigen.userdata.document import parse
from amigen.userdata.make import user_data
from amigen.userdata.packed import unpack
from tests.cli.conftest import Amigen
from tests.cli.conftest import amigen as amigen
from tests.cli.conftest import spec_file as spec_file
from tests.specs import ROOT, joins, spec

WITH_EKS_IMAGE = [name for name, fact in PLATFORMS.items() if fact.ssm_eks]
README = (ROOT / "README.md").read_text()
NODE = (ROOT / "docs" / "node.md").read_text()
OFF: dict[str, Any] = {"gate": False}


def gated(path: Path) -> dict[str, bool]:
    plans = plan_images(load_spec(path))
    return {plan.platform: any(isinstance(step, InstallGate) for step in plan.steps) for plan in plans}


@pytest.mark.parametrize("platform", WITH_EKS_IMAGE)
def test_the_spec_of_init_has_the_gate_that_readme_promises(platform: str, amigen: Amigen, tmp_path: Path) -> None:
    """README speaks of the EKS images of Amazon Linux and Ubuntu, and those are all platforms that have one."""
    done = amigen("init", "--platform", platform, "--kubernetes-version", "1.36")

    assert done.returncode == 0, done.stderr
    assert gated(tmp_path / "node-image.yaml") == {platform: True}
    assert "On the EKS images of Amazon Linux and Ubuntu" in README
    assert {re.split(r"[-0-9]", name)[0] for name in WITH_EKS_IMAGE} == {"al", "ubuntu"}


def test_readme_promises_nothing_where_there_is_no_eks_image(amigen: Amigen, tmp_path: Path) -> None:
    """Debian has no gate unless it is asked for, and check says what that means."""
    amigen("init", "--platform", "debian-12")
    done = amigen("check", "node-image.yaml")

    assert gated(tmp_path / "node-image.yaml") == {"debian-12": False}
    assert b"note: gate: the gate is off on debian-12: kubelet starts even where the bootstrap failed" in done.stdout
    assert "| off | Debian, and `aws.baseImage: plain`" in NODE


def test_the_five_lines_of_readme_have_the_gate() -> None:
    """The smallest spec joins by nothing of its own: a node group or Karpenter joins it."""
    (text,) = re.findall(r"```yaml\n(apiVersion.*?)```", README, re.DOTALL)
    from amigen.spec.load import parse_spec

    (plan,) = plan_images(parse_spec(text))
    content = parse(user_data(plan)).parts[0].content

    assert plan.spec.join.eks is None
    assert b"10-amigen-ready.conf" in (unpack(content) or content)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (OFF, b"remove `gate: false`"),
        ({**joins(), **OFF}, b"remove `gate: false`"),
        ({"aws": {"baseImage": "plain"}}, b"aws.baseImage is plain; set `gate: true`"),
    ],
)
def test_check_and_explain_say_that_it_is_off(
    change: dict[str, Any], hint: bytes, amigen: Amigen, spec_file: Callable[..., str]
) -> None:
    """As a note, with what it means and the way out; where it is on, neither says anything."""
    for command in (["check"], ["user-data", "explain", "--for", "self-managed"]):
        said = amigen(*command, spec_file(change)).stdout
        silent = amigen(*command, spec_file()).stdout

        assert b"the gate is off on al2023: kubelet starts even where" in said
        assert hint in said
        assert b"the gate is off" not in silent


def test_the_gate_is_no_part_of_the_digest() -> None:
    """A spec that says nothing of the gate has the digest that it had when the default was another."""
    from amigen.spec.load import spec_digest

    assert spec_digest(spec()) == spec_digest(spec({"gate": None}))

"""The rendered suite's words, where what they judge is rare: run with a host that only says something."""

from __future__ import annotations

from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan
from amigen.render.suite import suite_files

CONFIG = "nodeadm-config.service loaded failed failed EKS Nodeadm Config"
OTHER = "chronyd.service loaded failed failed NTP client/server"


def plan(platform: Any) -> ImagePlan:
    spec = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "x", "kubernetesVersion": "1.34"}
    return plan_image(parse_spec({**spec, "platforms": [platform]}), platform)


class Host:
    """Answers every command with one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def check_output(self, _command: str) -> str:
        return self.text


def check(made: ImagePlan, said: str) -> None:
    suite: dict[str, Any] = {}
    exec(suite_files(made)["tests/test_node.py"], suite)
    suite["test_no_failed_unit"](Host(said), "systemd")


def test_a_builder_may_lack_what_joins_a_cluster() -> None:
    """nodeadm-config fails on every machine of the EKS image without a NodeConfig; on a node that is a failure."""
    check(without_cluster(plan("al2023")), CONFIG)
    with pytest.raises(AssertionError, match="nodeadm-config"):
        check(plan("al2023"), CONFIG)


@pytest.mark.parametrize("platform", ["al2023", "ubuntu-24.04"])
def test_another_failed_unit_is_found_on_a_builder(platform: str) -> None:
    """Beside the one that may fail, and by its own name alone."""
    with pytest.raises(AssertionError, match="chronyd") as caught:
        check(without_cluster(plan(platform)), f"{CONFIG}\n{OTHER}" if platform == "al2023" else OTHER)
    assert "nodeadm-config" not in str(caught.value)


@pytest.mark.parametrize("platform", ["al2023", "ubuntu-24.04"])
def test_no_failed_unit_is_well(platform: str) -> None:
    """systemctl says nothing then."""
    check(plan(platform), "")
    check(without_cluster(plan(platform)), "")

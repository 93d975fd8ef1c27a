"""The user data of every golden case in the eyes of cloud-init: which parts, in which order, and to the byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amigen.base.errors import InputError
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.load import load_spec
from amigen.userdata import mime, nodeconfig
from amigen.userdata.make import default_format, user_data
from amigen.userdata.own import SCRIPT_NAME
from amigen.userdata.size import LIMIT
from tests.specs import GOLDEN
from tests.userdata.conftest import Left, Seen
from tests.userdata.test_documents import inside

CloudInit = Callable[[bytes], list[Seen]]
PLANS = [plan for case in sorted(GOLDEN.glob("*/spec.yaml")) for plan in plan_images(load_spec(case))]


def name(plan: ImagePlan) -> str:
    return f"{plan.spec.name}-{plan.platform}"


@pytest.mark.parametrize("plan", PLANS, ids=name)
def test_cloud_init_finds_the_parts_in_their_order(plan: ImagePlan, cloud_init: CloudInit) -> None:
    """The bootstrap script first, a NodeConfig after it where nodeadm joins; no byte changed."""
    seen = cloud_init(user_data(plan))
    joins = plan.spec.join.eks is not None and plan.platform == "al2023"

    assert [mime.SHELL, *[mime.NODE_CONFIG] * joins] == [part.type for part in seen]
    assert bootstrap_script(plan, user_data=True).encode() == inside(seen[0].content)
    assert default_format(plan) != "mime" or seen[0].filename == SCRIPT_NAME
    if joins:
        # nodeadm's API has every key of it; nodeadm itself is asked in `test_nodeadm_takes_what_amigen_writes`.
        read = nodeconfig.read(seen[1].content)
        assert read.findings == ()
        assert plan.spec.join.eks is not None
        assert read.config["spec"]["cluster"]["name"] == plan.spec.join.eks.name


@pytest.mark.parametrize("plan", PLANS, ids=name)
def test_ec2_takes_it(plan: ImagePlan) -> None:
    """What is in the rendered folder is within the limit."""
    assert len(user_data(plan)) <= LIMIT


def test_every_cloud_config_passes_cloud_inits_schema(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """The cloud-config of every golden plan that can be one."""
    made = []
    for plan in PLANS:
        try:
            made.append(cloud_init_leaves(user_data(plan, format_="cloud-config")))
        except InputError:
            assert plan.spec.join.eks  # a NodeConfig has to travel with it

    assert {(left.error, left.schema, len(left.config["runcmd"])) for left in made} == {("", "", 1)}
    assert len(made) >= 3

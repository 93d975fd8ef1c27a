"""What EKS and EC2 refuse is known before anything moves, each with its own way out; and what AWS's denials mean."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from amigen.aws import calls
from amigen.aws.errors import translate
from amigen.rollout.nodegroup import refused_in_group, refused_in_template

IMAGE = {"ImageId": "ami-1"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"IamInstanceProfile": {"Name": "node"}}, "names an instance profile"),
        ({"NetworkInterfaces": [{"SubnetId": "subnet-1"}]}, "the subnet of a network interface"),
        ({"InstanceMarketOptions": {"MarketType": "spot"}}, "Spot instances"),
        ({"HibernationOptions": {"Configured": True}}, "hibernation"),
        ({"InstanceInitiatedShutdownBehavior": "stop"}, "the shutdown behavior"),
    ],
)
def test_what_a_template_of_a_node_group_may_not_have(data: dict[str, Any], words: str) -> None:
    ((found, hint),) = refused_in_template({**IMAGE, **data})

    assert words in found
    assert hint


def test_a_plain_template_is_not_refused() -> None:
    data = {**IMAGE, "InstanceType": "m7i.large", "NetworkInterfaces": [{"Groups": ["sg-1"]}]}

    assert list(refused_in_template(data)) == []
    assert list(refused_in_group({"amiType": "CUSTOM", "instanceTypes": [], "diskSize": None}, data)) == []


@pytest.mark.parametrize(
    ("group", "data", "words"),
    [
        ({"amiType": "AL2023_x86_64_STANDARD"}, IMAGE, "needs CUSTOM"),
        ({"instanceTypes": ["m5.large"]}, {"InstanceType": "m7i.large"}, "names the instance type m7i.large"),
        ({"diskSize": 20}, IMAGE, "has a disk size"),
        ({"remoteAccess": {"ec2SshKey": "k"}}, IMAGE, "has remote access"),
    ],
)
def test_what_a_node_group_may_not_have(group: dict[str, Any], data: dict[str, Any], words: str) -> None:
    ((found, hint),) = refused_in_group(group, data)

    assert words in found
    assert hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("User x is not authorized to perform y with an explicit deny in a service control policy", "the organization"),
        ("User x is not authorized to perform y with an explicit deny in an identity-based policy", "ask its owner"),
        ("User x is not authorized to perform y", "iam-policy"),
    ],
)
def test_an_explicit_deny_is_told_apart(message: str, hint: str) -> None:
    """No policy of the caller can lift it."""
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "DescribeImages")

    found = translate(refused, call=calls.DESCRIBE_IMAGES, region="eu-central-1", what="images")

    assert hint in (found.hint or "")


def test_a_region_that_is_not_enabled_is_a_way_out() -> None:
    refused = ClientError({"Error": {"Code": "AuthFailure", "Message": "not able to validate"}}, "DescribeImages")

    found = translate(refused, call=calls.DESCRIBE_IMAGES, region="af-south-1", what="images")

    assert "list-regions" in (found.hint or "")

"""What an Auto Scaling group names, and what it is told with other versions: without a call."""

from __future__ import annotations

from typing import Any

from amigen.rollout.templates import backward, configuration, elsewhere, forward, signature


def _specification(template: str, version: str) -> dict[str, str]:
    return {"LaunchTemplateId": template, "LaunchTemplateName": f"name of {template}", "Version": version}


def _mixed(strategy: str) -> dict[str, Any]:
    overrides = [
        {"InstanceRequirements": {"VCpuCount": {"Min": 4}}, "ImageId": "ami-1"},
        {"InstanceType": "m6g.large", "LaunchTemplateSpecification": _specification("lt-arm", "7")},
        {"InstanceType": "m5.large", "LaunchTemplateSpecification": _specification("lt-other", "7")},
    ]
    template = {"LaunchTemplateSpecification": _specification("lt-x86", "3"), "Overrides": overrides}
    distribution = {"SpotAllocationStrategy": strategy, "SpotInstancePools": 2, "OnDemandBaseCapacity": 1}
    return {"MixedInstancesPolicy": {"LaunchTemplate": template, "InstancesDistribution": distribution}}


def test_a_policy_is_told_back_with_other_versions_only() -> None:
    """AWS takes a template by its id or its name, not by both, and pools with the strategy lowest-price only."""
    told = configuration(_mixed("capacity-optimized"), forward({"lt-x86": 4, "lt-arm": 8}))

    policy = told["MixedInstancesPolicy"]
    assert policy["InstancesDistribution"] == {
        "SpotAllocationStrategy": "capacity-optimized",
        "OnDemandBaseCapacity": 1,
    }
    assert policy["LaunchTemplate"] == {
        "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-x86", "Version": "4"},
        "Overrides": [
            {"InstanceRequirements": {"VCpuCount": {"Min": 4}}, "ImageId": "ami-1"},
            {
                "InstanceType": "m6g.large",
                "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-arm", "Version": "8"},
            },
            {
                "InstanceType": "m5.large",
                "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-other", "Version": "7"},
            },
        ],
    }


def test_pools_stay_where_they_are_valid() -> None:
    told = configuration(_mixed("lowest-price"), forward({}))

    assert told["MixedInstancesPolicy"]["InstancesDistribution"]["SpotInstancePools"] == 2


def test_the_way_back_takes_back_what_was_moved_and_nothing_else() -> None:
    """A template at another number than the new one has not been moved."""
    told = configuration(_mixed("lowest-price"), backward({"lt-x86": 3, "lt-arm": 9}, {"lt-x86": 2, "lt-arm": 8}))

    assert signature(told) == (("lt-x86", "2"), ("lt-arm", "7"), ("lt-other", "7"))


def test_an_alias_stays() -> None:
    group = {"LaunchTemplate": _specification("lt-x86", "$Default")}

    assert configuration(group, forward({"lt-x86": 4})) == {
        "LaunchTemplate": {"LaunchTemplateId": "lt-x86", "Version": "$Default"}
    }
    assert signature({"LaunchTemplate": {"LaunchTemplateId": "lt-x86"}}) == (("lt-x86", "$Default"),)


def test_what_is_not_at_its_version() -> None:
    """Instances on their way out do not count, nor those of templates that this is not about."""
    instances = [
        {"InstanceId": "i-new", "LifecycleState": "InService", "LaunchTemplate": _specification("lt-x86", "4")},
        {"InstanceId": "i-old", "LifecycleState": "Standby", "LaunchTemplate": _specification("lt-x86", "3")},
        {"InstanceId": "i-gone", "LifecycleState": "Terminating:Wait", "LaunchTemplate": _specification("lt-x86", "3")},
        {"InstanceId": "i-other", "LifecycleState": "InService", "LaunchTemplate": _specification("lt-other", "7")},
        {"InstanceId": "i-attached", "LifecycleState": "InService"},
    ]
    group = {**_mixed("lowest-price"), "Instances": instances}

    assert elsewhere(group, {"lt-x86": 4, "lt-arm": 7}) == (
        "it names version 3 of lt-x86",
        "i-old (Standby) has version 3",
        "i-attached (InService) has version unknown",
    )

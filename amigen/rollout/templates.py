"""Which launch templates an Auto Scaling group names, and its configuration with other versions of them. Pure.

A group with a mixed instances policy keeps all of it: instance types, weights, the Spot distribution. A refresh that is
told a launch template alone would take the policy away (it is told either the one or the other:
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DesiredConfiguration.html).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# (launch template id, version as the group names it) -> version
Move = Callable[[str, str], str]
_LEAVING = ("Terminating", "Terminated", "Detach")  # with or without `:Wait`, `:Proceed`; `Detaching`, `Detached`


def specifications(source: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The launch templates of a group, or of the desired configuration of a refresh: the base, then the overrides'."""
    if source.get("LaunchTemplate"):
        yield source["LaunchTemplate"]
    mixed = (source.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    for each in (mixed, *mixed.get("Overrides", ())):
        if each.get("LaunchTemplateSpecification"):
            yield each["LaunchTemplateSpecification"]


def base(group: Mapping[str, Any]) -> tuple[str, str]:
    """Id and version of a group's own template; the id is empty where it has none."""
    own: dict[str, Any] = next(specifications(group), {})
    return str(own.get("LaunchTemplateId", "")), version_of(own)


def version_of(specification: Mapping[str, Any]) -> str:
    """The version that a specification names."""
    return str(specification.get("Version") or "$Default")


def signature(source: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What tells two configurations apart: each template with its version; nothing for a refresh without one."""
    return tuple((str(s.get("LaunchTemplateId", "")), version_of(s)) for s in specifications(source))


def forward(new: Mapping[str, int]) -> Move:
    """Numbers of these templates become the new ones; `$Default` stays, it has moved by itself."""
    return lambda template, version: str(new[template]) if template in new and version.isdigit() else version


def backward(new: Mapping[str, int], old: Mapping[str, int]) -> Move:
    """New numbers become the old ones; what has another number has never been moved."""
    return lambda template, version: (
        str(old[template]) if template in old and version == str(new.get(template)) else version
    )


def configuration(group: Mapping[str, Any], move: Move) -> dict[str, Any]:
    """A group's configuration as StartInstanceRefresh takes it, with other versions and nothing else changed."""
    policy = group.get("MixedInstancesPolicy")
    if not policy:
        return {"LaunchTemplate": _moved(next(specifications(group)), move)}
    mixed = policy["LaunchTemplate"]
    template: dict[str, Any] = {
        "LaunchTemplateSpecification": _moved(mixed["LaunchTemplateSpecification"], move),
        "Overrides": [
            {**each, "LaunchTemplateSpecification": _moved(each["LaunchTemplateSpecification"], move)}
            if each.get("LaunchTemplateSpecification")
            else dict(each)
            for each in mixed.get("Overrides", ())
        ],
    }
    if not template["Overrides"]:
        del template["Overrides"]
    distribution = _distribution(policy.get("InstancesDistribution") or {})
    more = {"InstancesDistribution": distribution} if distribution else {}
    return {"MixedInstancesPolicy": {"LaunchTemplate": template, **more}}


def _moved(specification: Mapping[str, Any], move: Move) -> dict[str, Any]:
    """AWS answers with id and name, and takes one of them (API_LaunchTemplateSpecification)."""
    template = specification["LaunchTemplateId"]
    version = {"Version": move(template, str(specification["Version"]))} if specification.get("Version") else {}
    return {"LaunchTemplateId": template, **version}


def _distribution(found: Mapping[str, Any]) -> dict[str, Any]:
    """SpotInstancePools is valid with the strategy lowest-price only (API_InstancesDistribution)."""
    pools = found.get("SpotAllocationStrategy", "lowest-price") == "lowest-price"
    return {key: value for key, value in found.items() if pools or key != "SpotInstancePools"}


def elsewhere(group: Mapping[str, Any], new: Mapping[str, int]) -> tuple[str, ...]:
    """What of a group is not at the new versions, in words: its own numbers, its instances.

    Instances on their way out do not count, nor those of templates that the group names and this is not about.
    """
    named = dict.fromkeys(template for template, _ in signature(group))
    out = [
        f"it names version {version} of {template}"
        for template, version in signature(group)
        if template in new and version not in ("$Default", str(new[template]))
    ]
    for instance in group.get("Instances", ()):
        if str(instance.get("LifecycleState", "")).startswith(_LEAVING):
            continue
        own = instance.get("LaunchTemplate") or {}
        template, version = str(own.get("LaunchTemplateId", "")), str(own.get("Version", ""))
        if template in named and template not in new:
            continue
        if version != str(new.get(template)):
            state = instance.get("LifecycleState", "state unknown")
            out.append(f"{instance.get('InstanceId')} ({state}) has version {version or 'unknown'}")
    return tuple(out)

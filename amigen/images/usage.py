"""Which AMIs of a region somebody relies on: read from everything in the account that can launch one."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import CouldNotCheckError
from amigen.images.launchers import find_launchers
from amigen.publish import observe
from amigen.publish.wait import all_at_once, batches

_BATCH = 10  # of GetParameters
_PAGE = 200  # of DescribeLaunchTemplateVersions
_GONE = (
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateName.NotFoundException",
)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """AMI id -> what refers to it, in words; sorted and each once.

    Attributes:
        unresolved: What names its image by something that cannot be resolved, in words: any image could be in use.
    """

    by: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unresolved: tuple[str, ...] = ()

    def of(self, image: str) -> tuple[str, ...]:
        """What refers to an image; empty where nothing does."""
        return self.by.get(image, ())

    def require_complete(self, region: str) -> None:
        """Raise CouldNotCheckError where any image could be in use."""
        if self.unresolved:
            raise CouldNotCheckError(
                f"nothing is removed in {region}, because any image may be in use: {'; '.join(self.unresolved)}",
                "let the caller read it (`amigen iam-policy --for prune --parameter NAME`), or remove it",
            )


def find_usage(aws: Aws, region: str) -> Usage:
    """Everything in a region that refers to an AMI, as far as AWS tells.

    A version of a launch template is in use when it is `$Default` or `$Latest` of its template, or when an Auto Scaling
    group, a fleet or an instance names it. EKS managed node groups launch through such groups and templates. What is
    written in a cluster is not seen: an EC2NodeClass of Karpenter that names an AMI, and has no node just now.

    Raises:
        CouldNotCheckError: This machine's botocore is too old to see all that may name an image.
        AwsError: A call failed.
    """
    instances, (launched, named), configurations, current = all_at_once(
        lambda: observe.running_instances(aws, region, "instances of the region"),
        lambda: find_launchers(aws, region),
        lambda: _launch_configurations(aws, region),
        lambda: _current_versions(aws, region),
    )
    found: list[tuple[str, str]] = [(i.image, f"instance {i.id} ({i.state})") for i in instances]
    found += [*launched, *configurations, *((image, words) for _, image, words in current)]
    named |= {instance.version for instance in instances if instance.version}
    found += _named_versions(aws, region, named - {key for keys, _, _ in current for key in keys})
    references = sorted({image for image, _ in found if image.startswith("resolve:")})
    resolved = _resolve(aws, region, references)
    users: dict[str, set[str]] = defaultdict(set)
    for image, words in found:
        users[resolved.get(image, image)].add(words)
    unresolved = [f"{words} names its image by {image}" for image, words in found if image in references]
    return Usage(
        by={image: tuple(sorted(words)) for image, words in users.items() if image},
        unresolved=tuple(sorted({text for text in unresolved if text.rpartition(" ")[2] not in resolved})),
    )


# (id, number) and (name, number) of a version, its image, and what it is in words.
_Known = tuple[tuple[tuple[str, str], tuple[str, str]], str, str]


def _current_versions(aws: Aws, region: str) -> list[_Known]:
    """`$Default` and `$Latest` of all templates of the region, in as few calls as there are pages.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html (Versions)
    """
    pages = aws.pages(
        calls.DESCRIBE_TEMPLATE_VERSIONS,
        region,
        "launch templates of the region",
        Versions=["$Default", "$Latest"],
        MaxResults=_PAGE,
    )
    return [_known(item) for item in pages]


def _known(item: dict[str, Any]) -> _Known:
    """Only what is needed: the user data of hundreds of versions is megabytes."""
    name, number = item["LaunchTemplateName"], str(item["VersionNumber"])
    # A template that resolves a parameter launches what the parameter names now, not what its label says.
    image = str(item.get("LaunchTemplateData", {}).get("ImageId", ""))
    keys = (item["LaunchTemplateId"], number), (name, number)
    return keys, image, f"launch template {name} version {number}"


def _named_versions(aws: Aws, region: str, versions: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """(image, words) of versions that something names by number."""
    named: dict[str, set[str]] = defaultdict(set)
    for template, version in versions:
        if version.isdigit():
            named[template].add(version)
    looks = [functools.partial(_versions_of, aws, region, template, sorted(named[template])) for template in named]
    return [(image, words) for found in all_at_once(*looks) for _, image, words in found]


def _versions_of(aws: Aws, region: str, template: str, numbers: list[str]) -> list[_Known]:
    """Versions of one template; one that is gone does not hide the others."""
    key = "LaunchTemplateId" if template.startswith("lt-") else "LaunchTemplateName"
    pages = aws.pages(
        calls.DESCRIBE_TEMPLATE_VERSIONS,
        region,
        f"launch template {template}",
        Versions=numbers,
        MaxResults=_PAGE,
        **{key: template},
    )
    try:
        return [_known(item) for item in pages]
    except CallError as error:
        if error.code not in _GONE:
            raise
    one_by_one = [[number] for number in numbers] if len(numbers) > 1 else []
    return [each for number in one_by_one for each in _versions_of(aws, region, template, number)]


def _launch_configurations(aws: Aws, region: str) -> list[tuple[str, str]]:
    found = aws.pages(calls.DESCRIBE_LAUNCH_CONFIGURATIONS, region, "launch configurations of the region")
    return [(item.get("ImageId", ""), f"launch configuration {item['LaunchConfigurationName']}") for item in found]


def _resolve(aws: Aws, region: str, references: list[str]) -> dict[str, str]:
    """`resolve:ssm:NAME` -> the AMI that it names now; those that are not there or may not be read are left out."""
    out: dict[str, str] = {}
    for batch in batches(references, _BATCH):
        try:
            out |= _parameters(aws, region, batch)
        except CallError as error:
            if not error.denied:
                raise
            # One that may not be read hides the nine others.
            for reference in batch if len(batch) > 1 else ():
                out |= _resolve(aws, region, [reference])
    return out


def _parameters(aws: Aws, region: str, references: list[str]) -> dict[str, str]:
    names = {reference: reference.removeprefix("resolve:ssm:") for reference in references}
    what = "parameters that templates resolve"
    answer = aws.call(calls.GET_NAMED_PARAMETERS, region, what, Names=sorted(set(names.values())))
    values = {each["Name"] + each.get("Selector", ""): each["Value"] for each in answer.get("Parameters", ())}
    return {reference: values[name] for reference, name in names.items() if name in values}

"""Which AMIs of a region somebody relies on: read from everything in the account that can launch one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import CouldNotCheckError
from amigen.images.launchers import Launcher, find_launchers
from amigen.publish import observe
from amigen.publish.state import Instance, Version

_BATCH = 10  # of GetParameters


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
    instances = observe.running_instances(aws, region, "instances of the region")
    launchers = find_launchers(aws, region)
    versions = list(_versions_in_use(aws, region, instances, launchers))
    found: list[tuple[str, str]] = [(i.image, f"instance {i.id} ({i.state})") for i in instances]
    found += [(version.image or "", words) for words, version in versions]
    found += [(image, launcher.words) for launcher in launchers for image in launcher.images]
    found += _launch_configurations(aws, region)
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


def _versions_in_use(
    aws: Aws, region: str, instances: tuple[Instance, ...], launchers: tuple[Launcher, ...]
) -> Iterator[tuple[str, Version]]:
    named: dict[str, set[str]] = defaultdict(set)
    for template_id, version in (
        *(instance.version for instance in instances if instance.version),
        *(version for launcher in launchers for version in launcher.versions),
    ):
        named[template_id].add(version)
    templates = aws.pages(calls.DESCRIBE_TEMPLATES, region, "launch templates of the region", "LaunchTemplates")
    for template in list(templates):
        template_id, name = template["LaunchTemplateId"], template["LaunchTemplateName"]
        numbers = {number for number in named[template_id] | named[name] if number.isdigit()}
        wanted = ["$Default", "$Latest", *sorted(numbers)]
        for item in _describe_versions(aws, region, template_id, name, wanted):
            found = observe.read_version(item)
            words = f"launch template {name} version {found.number}"
            yield words, _unlabelled(found)


def _unlabelled(version: Version) -> Version:
    """A template that resolves a parameter launches what the parameter names now, not what it named once."""
    return Version(number=version.number, data=version.data)


def _describe_versions(aws: Aws, region: str, template: str, name: str, wanted: list[str]) -> Iterator[dict[str, Any]]:
    """Versions by number, name by name: one that is gone must not hide the others."""
    for version in wanted:
        try:
            yield from aws.pages(
                calls.DESCRIBE_TEMPLATE_VERSIONS,
                region,
                f"launch template {name}",
                "LaunchTemplateVersions",
                LaunchTemplateId=template,
                Versions=[version],
            )
        except CallError as error:
            if error.code not in ("InvalidLaunchTemplateId.VersionNotFound", "InvalidLaunchTemplateId.NotFound"):
                raise


def _launch_configurations(aws: Aws, region: str) -> list[tuple[str, str]]:
    found = aws.pages(
        calls.DESCRIBE_LAUNCH_CONFIGURATIONS, region, "launch configurations of the region", "LaunchConfigurations"
    )
    return [(item.get("ImageId", ""), f"launch configuration {item['LaunchConfigurationName']}") for item in found]


def _resolve(aws: Aws, region: str, references: list[str]) -> dict[str, str]:
    """`resolve:ssm:NAME` -> the AMI that it names now; those that are not there or may not be read are left out."""
    out: dict[str, str] = {}
    for start in range(0, len(references), _BATCH):
        batch = references[start : start + _BATCH]
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

"""Who else uses an image: other accounts that it is shared with, and services that the usage of a region does not show.

No call of this account shows the instances and launch templates of another account. EC2 makes a report of them on
request, which is there after minutes or hours and may lack the last days. `LastLaunchedTime` of the image, which prune
also looks at, has the last launch by any account.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/your-ec2-ami-usage.html (usage reports),
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html (reference checks)
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import CouldNotCheckError
from amigen.publish import names, observe
from amigen.publish.state import Image
from amigen.publish.wait import all_at_once, batches

# EC2 keeps reports for 30 days; an older one than this says too little of today.
_REPORT_AGE = timedelta(days=3)
# A template's default version may be any of its versions; this is as many as EC2 looks at.
_VERSION_DEPTH = "10000"
_RESOURCES = ("ec2:Instance", "ec2:LaunchTemplate")
# Instances and templates of this account are seen by `amigen.images.usage`, which knows what a template launches.
_REFERENCES = ("ssm:Parameter", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")
_REPORTS_AT_ONCE = 200
_REFERENCES_AT_ONCE = 10


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What was found.

    Attributes:
        used: Image -> what uses it, in words.
        accounts: Image -> ids of the other accounts that use it.
        missing: Shared images without a usage report.
        pending: Shared images whose usage report is being made.
        notes: What could not be looked at.
    """

    used: dict[str, tuple[str, ...]] = field(default_factory=dict)
    accounts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What says that an image was shared, besides its launch permissions.

    Attributes:
        images: Images that the ledger says were shared.
        by_spec: The spec shares its images.
    """

    images: frozenset[str] = frozenset()
    by_spec: bool = False


def look_elsewhere(aws: Aws, region: str, images: Sequence[Image], shared: Shared, now: datetime) -> Elsewhere:
    """Look at images that nothing in this account is known to use.

    Raises:
        CouldNotCheckError: EC2 could not make a usage report.
        AwsError: A call failed, or is not allowed.
    """
    notes: list[str] = []
    used: dict[str, list[str]] = defaultdict(list)
    for image, words in _references(aws, region, [image.id for image in images], notes):
        used[image].append(words)
    is_shared = all_at_once(*(functools.partial(_is_shared, aws, region, image, shared, notes) for image in images))
    candidates = [image for image, found in zip(images, is_shared, strict=True) if found]
    reports, missing, pending = _reports(aws, region, [image.id for image in candidates], now)
    owners = {image.id: image.owner for image in candidates}
    accounts: dict[str, set[str]] = defaultdict(set)
    for entry in _entries(aws, region, reports):
        image, account = reports[entry["ReportId"]], str(entry["AccountId"])
        if account != owners[image]:
            accounts[image].add(account)
            used[image].append(f"account {account} ({entry.get('UsageCount', 'some')} {entry.get('ResourceType')})")
    return Elsewhere(
        used={image: tuple(sorted(words)) for image, words in used.items()},
        accounts={image: tuple(sorted(found)) for image, found in accounts.items()},
        missing=tuple(missing),
        pending=tuple(pending),
        notes=tuple(dict.fromkeys(notes)),
    )


def request_report(aws: Aws, region: str, image: str, now: datetime) -> None:
    """Let EC2 make the usage report of an image, for all accounts; the same one for a second request of a day."""
    aws.call(
        calls.CREATE_USAGE_REPORT,
        region,
        f"image {image}",
        ImageId=image,
        ResourceTypes=[
            {"ResourceType": "ec2:Instance"},
            {
                "ResourceType": "ec2:LaunchTemplate",
                "ResourceTypeOptions": [{"OptionName": "version-depth", "OptionValues": [_VERSION_DEPTH]}],
            },
        ],
        ClientToken=names.token("usage-report", image, now.date().isoformat()),
    )


def _is_shared(aws: Aws, region: str, image: Image, shared: Shared, notes: list[str]) -> bool:
    """Whether other accounts may launch an image now, or could once."""
    if image.id in shared.images or image.public:
        return True
    try:
        return bool(observe.image_permissions(aws, region, image.id))
    except CallError as error:
        if not error.denied:
            raise
    notes.append("launch permissions cannot be read (ec2:DescribeImageAttribute): only the spec and the ledger say"
                 " which images are shared")  # fmt: skip
    return shared.by_spec


def _references(aws: Aws, region: str, images: Sequence[str], notes: list[str]) -> list[tuple[str, str]]:
    """(image, what names it) for SSM parameters and Image Builder recipes of this account."""
    found = []
    try:
        for batch in batches(images, _REFERENCES_AT_ONCE):
            types = [{"ResourceType": each} for each in _REFERENCES]
            what = "references of images"
            found += list(aws.pages(calls.DESCRIBE_REFERENCES, region, what, ImageIds=batch, ResourceTypes=types))
    except CallError as error:
        if not error.denied:
            raise
        notes.append("SSM parameters and Image Builder recipes that name an image are not seen"
                     " (ec2:DescribeImageReferences is not allowed)")  # fmt: skip
    return [(str(each["ImageId"]), f"{each.get('ResourceType')} {each.get('Arn')}") for each in found]


def _reports(
    aws: Aws, region: str, images: Sequence[str], now: datetime
) -> tuple[dict[str, str], list[str], list[str]]:
    """Report -> image for those that can be read; images without a report; images whose report is being made."""
    found: dict[str, list[Any]] = defaultdict(list)
    for batch in batches(images, _REPORTS_AT_ONCE):
        what = "usage reports of images"
        for each in aws.pages(calls.DESCRIBE_USAGE_REPORTS, region, what, ImageIds=batch):
            if _covers_all(each) and now - each["CreationTime"] < _REPORT_AGE:
                found[each["ImageId"]].append(each)
    available: dict[str, str] = {}
    missing, pending = [], []
    for image in images:
        newest = sorted(found[image], key=lambda each: str(each["CreationTime"]), reverse=True)
        states = {str(each["State"]): each for each in reversed(newest)}
        if "available" in states:
            available[states["available"]["ReportId"]] = image
        elif "pending" in states:
            pending.append(image)
        elif newest and newest[0]["CreationTime"].date() == now.date():
            reason = newest[0].get("StateReason") or newest[0]["State"]
            raise CouldNotCheckError(
                f"nothing is removed in {region}: EC2 could not make the usage report of {image}: {reason}",
                "run it again tomorrow: one report a day is requested for each image",
            )
        else:
            missing.append(image)
    return available, missing, pending


def _covers_all(report: dict[str, Any]) -> bool:
    """Whether a report is about all accounts, instances and versions of templates."""
    types = {
        each.get("ResourceType"): [v for o in each.get("ResourceTypeOptions", ()) for v in o.get("OptionValues", ())]
        for each in report.get("ResourceTypes", ())
    }
    depth = types.get("ec2:LaunchTemplate", [])
    return not report.get("AccountIds") and set(_RESOURCES) <= set(types) and _VERSION_DEPTH in depth


def _entries(aws: Aws, region: str, reports: dict[str, str]) -> list[Any]:
    found: list[Any] = []
    for batch in batches(sorted(reports), _REPORTS_AT_ONCE):
        what = "usage reports of images"
        pages = aws.pages(calls.DESCRIBE_USAGE_ENTRIES, region, what, ReportIds=batch)
        found += [each for each in pages if each["ReportId"] in reports]
    return found

"""Clean up after builds on AWS that were killed together with Packer.

All resources of a build have the tag `amigen/build`. A note on this machine names each running build and its account.
The next build with credentials of that account removes the resources of a build whose process is gone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amigen.aws import build_calls as calls
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, AwsError
from amigen.base.locks import exclusive_lock
from amigen.base.paths import cache_home
from amigen.base.waiting import wait_until

TAG_BUILD = "amigen/build"
_VERIFIED = "amigen/verified"
_GONE_SECONDS = 600
_POLL_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account, and how it is reached.

    Attributes:
        id: Twelve digits. Two stand-ins may have the same id; their addresses differ.
        profile: Of the shared configuration; None: as the environment says.
        endpoint_url: Another address of EC2 than AWS's own.
    """

    id: str
    profile: str | None = None
    endpoint_url: str | None = None

    @property
    def text(self) -> str:
        """Text for messages."""
        more = {"profile": self.profile, "endpoint": self.endpoint_url}
        said = ", ".join(f"{word} {value}" for word, value in more.items() if value)
        return f"account {self.id}" + (f" ({said})" if said else "")

    def is_that_of(self, other: Account) -> bool:
        """Whether both are one account, by whatever profile."""
        return (self.id, self.endpoint_url) == (other.id, other.endpoint_url)


def find_account(aws: Aws, region: str, *, profile: str | None, endpoint_url: str | None) -> Account:
    """The account of these credentials.

    Raises:
        AwsError: They are none.
    """
    answer = aws.call(calls.WHO_AM_I, region, "these credentials")
    return Account(id=answer["Account"], profile=profile, endpoint_url=endpoint_url)


@contextlib.contextmanager
def noted(build_id: str, region: str, account: Account, *, spot: bool) -> Iterator[None]:
    """Keep a note of this build while it runs."""
    home = _home()
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{build_id}.json"
    with exclusive_lock(path):
        path.write_text(json.dumps({"build": build_id, "region": region, "account": asdict(account), "spot": spot}))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def clean_up_killed_builds(aws: Aws, account: Account, say: Callable[[str], None]) -> None:
    """Remove what killed builds left in this account. The note of what cannot be removed stays, and is reported."""
    for path in sorted(_home().glob("*.json")):
        # A running build holds the lock, and removes its note at any moment.
        with contextlib.suppress(OSError), exclusive_lock(path, wait=False, create=False):
            if _settle(aws, account, path.read_text(errors="replace"), path, say):
                path.unlink()


def _settle(aws: Aws, account: Account, text: str, path: Path, say: Callable[[str], None]) -> bool:
    """Clean up one killed build; True if its note can be removed."""
    try:
        note = json.loads(text)
        build, region, place = note["build"], note["region"], Account(**note["account"])
    except (ValueError, KeyError, TypeError):
        say(f"{path} is not a note of a build; remove it")
        return False
    if not place.is_that_of(account):
        say(
            f"the killed build {build} may have left something in {place.text}, {region}:"
            f" the next build there removes it (noted in {path})"
        )
        return False
    try:
        removed = remove_build(aws, region, build, spot=bool(note.get("spot")))
    except AmigenError as error:
        say(f"the killed build {build} may have left something in {region}: {error.message}")
        return False
    say(f"the build {build} was killed; removed what it left in {region}: {', '.join(removed) or 'nothing'}")
    return True


def clean_up_interrupted_build(
    aws: Aws, region: str, build_id: str, keep: frozenset[str], say: Callable[[str], None], *, spot: bool
) -> None:
    """Remove what Packer did not: it forgets an instance whose launch was interrupted before EC2's answer came."""
    try:
        removed = remove_build(aws, region, build_id, keep, spot=spot)
    except AmigenError as error:
        say(f"this build may have left something in {region}, tagged {TAG_BUILD}={build_id}: {error.message}")
        return
    if removed:
        say(f"removed what Packer left in {region}: {', '.join(removed)}")


def _home() -> Path:
    return cache_home() / "builds-on-aws"


def remove_build(
    aws: Aws, region: str, build_id: str, keep: frozenset[str] = frozenset(), *, spot: bool = False
) -> list[str]:
    """Remove instances, security groups, key pairs, and images without the tag of success, of one build.

    Args:
        build_id: The value of the tag.
        keep: Ids of images to keep although they do not have that tag yet.
        spot: Also look for the launch template of a spot instance.

    Returns:
        Ids of what was removed.

    Raises:
        AwsError: A call failed, or an instance does not end.
    """
    what = f"what the build {build_id} left"
    tagged = [{"Name": f"tag:{TAG_BUILD}", "Values": [build_id]}]
    named = [{"Name": "key-name", "Values": [f"amigen-{build_id}-*"]}]
    kinds = [
        (calls.DESCRIBE_TEMPLATES, tagged, "LaunchTemplates", "LaunchTemplateId", calls.DELETE_TEMPLATE),
        (calls.DESCRIBE_SECURITY_GROUPS, tagged, "SecurityGroups", "GroupId", calls.DELETE_SECURITY_GROUP),
        (calls.DESCRIBE_KEY_PAIRS, named, "KeyPairs", "KeyName", calls.DELETE_KEY_PAIR),
    ]
    removed = _terminate(aws, region, what, tagged)
    for describe, filters, answer, key, delete in kinds if spot else kinds[1:]:
        for found in aws.call(describe, region, what, Filters=filters)[answer]:
            aws.call(delete, region, found[key], **{key: found[key]})
            removed.append(found[key])
    for image in aws.call(calls.DESCRIBE_IMAGES, region, what, Owners=["self"], Filters=tagged)["Images"]:
        if image["ImageId"] not in keep and not any(tag["Key"] == _VERIFIED for tag in image.get("Tags", ())):
            removed += remove_image(aws, region, image)
    return removed


def remove_image(aws: Aws, region: str, image: dict[str, Any]) -> list[str]:
    """Deregister an image and delete its snapshots."""
    aws.call(calls.DEREGISTER, region, f"image {image['ImageId']}", ImageId=image["ImageId"])
    disks = [mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", ())]
    snapshots = [disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")]
    for snapshot in snapshots:
        aws.call(calls.DELETE_SNAPSHOT, region, f"snapshot {snapshot}", SnapshotId=snapshot)
    return [image["ImageId"], *snapshots]


def _terminate(aws: Aws, region: str, what: str, tagged: list[dict[str, Any]]) -> list[str]:
    """Terminate the build's instances and wait, since their security groups cannot be deleted before."""
    living = [*tagged, {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    instances = _instances(aws, region, what, living)
    if not instances:
        return []
    ids = [instance["InstanceId"] for instance in instances]
    groups = {group["GroupId"]: group["GroupName"] for each in instances for group in each.get("SecurityGroups", ())}
    packers = sorted(id_ for id_, name in groups.items() if name.startswith("packer_"))
    aws.call(calls.TERMINATE, region, what, InstanceIds=ids)

    def terminated() -> bool:
        return all(i["State"]["Name"] == "terminated" for i in _instances(aws, region, what, tagged))

    if not wait_until(terminated, seconds=_GONE_SECONDS, every=_POLL_SECONDS):
        message = f"{', '.join(ids)} in {region} did not terminate within {_GONE_SECONDS} s"
        raise AwsError(message, "look at them in the console")
    for group in packers:
        aws.call(calls.DELETE_SECURITY_GROUP, region, group, GroupId=group)
    return [*ids, *packers]


def _instances(aws: Aws, region: str, what: str, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = aws.call(calls.DESCRIBE_INSTANCES, region, what, Filters=filters)
    return [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]

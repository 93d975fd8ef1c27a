"""`amigen build --target aws`: an AMI by Packer's amazon-ebs builder, proven on the builder before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amigen.aws import build_calls as calls
from amigen.aws.session import Aws
from amigen.base.errors import BuildError
from amigen.build.aws_look import find_usable_base
from amigen.build.hook import Event
from amigen.build.host_key import bastion_command, require_builder, write_known_hosts
from amigen.build.record import ImageRecord
from amigen.build.run import Order
from amigen.build.session import Session, manifest_artifact
from amigen.plan.source import source_of
from amigen.publish.state import Image
from amigen.vm.ssh import new_key

BASTION_KEY = "bastion_private_key_file"


@dataclass(frozen=True, kw_only=True)
class AwsBuild:
    """What all images of a build on AWS have in common.

    Attributes:
        endpoint_url: Another address of EC2; then region and credentials are not asked for either.
    """

    aws: Aws
    order: Order
    endpoint_url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of Packer, whose plugins know the address of the other services (Systems Manager) by it alone."""
        request = self.order.request
        found = {"AWS_PROFILE": request.profile, "AWS_ENDPOINT_URL": request.endpoint_url}
        return {name: value for name, value in found.items() if value}


def build_aws(session: Session, build: AwsBuild) -> ImageRecord:
    """Build one AMI, in the region of the spec.

    Raises:
        AmigenError: Any failure; there is no AMI, and Packer has removed instance, key pair and security group.
    """
    region = session.plan.spec.aws.region
    session.begin("source")
    base = find_usable_base(build.aws, session.plan, session.architecture)
    source = source_of(session.plan.spec, session.plan.platform, session.architecture)
    session.say(f"source: {base.id} ({source.text})")
    folder = session.write_files()
    new_key(session.work)
    source_image = base.id
    if bastion := session.plan.spec.aws.builder.bastion:
        session.proxy = bastion_command(bastion, build.order.request.variables.get(BASTION_KEY))

    def on_event(event: Event) -> None:
        nonlocal source_image
        if event.name == "started":
            source_image = _look_at_builder(session, build, event)

    session.begin("start the builder")
    session.run_packer(
        folder / "packer/aws",
        only=f"amazon-ebs.{session.architecture}",
        variables=packer_variables(session, build, base),
        on_event=on_event,
        environment=build.environment,
    )
    image_id = manifest_artifact(session.work).rpartition(":")[2]
    session.begin("")
    return ImageRecord(
        platform=session.plan.platform,
        architecture=session.architecture,
        outcome="built",
        verified=True,
        source=source.text,
        source_image=source_image,
        region=region,
        image_id=image_id,
        amis={region: image_id},
        **session.findings(),
    )


def _look_at_builder(session: Session, build: AwsBuild, event: Event) -> str:
    """Before anything connects to the builder: that it answers by IMDSv2 only, and the host keys by which ssh knows it.
    The tunnel of Session Manager leads to this instance and no other.

    Returns:
        The AMI that it runs.
    """
    aws, what = session.plan.spec.aws, f"builder {event.instance}"
    answer = build.aws.call(calls.DESCRIBE_INSTANCES, aws.region, what, InstanceIds=[event.instance])
    instance = answer["Reservations"][0]["Instances"][0]
    if instance.get("MetadataOptions", {}).get("HttpTokens") != "required":
        raise BuildError(f"the {what} also answers IMDSv1", "look for a policy of the account that sets it back")
    if aws.communicator != "session-manager" and not aws.builder.accept_any_host_key:
        write_known_hosts(build.aws, aws.region, event.instance, session.known_hosts)
        require_builder(session.target(event), event.instance)
        session.say(f"the builder has the ssh host key that the console output of {event.instance} shows")
    return str(instance["ImageId"])


def packer_variables(session: Session, build: AwsBuild, source: Image) -> dict[str, Any]:
    """Variables for the rendered file; those of the user override ours."""
    public = session.key.with_suffix(".pub").read_text().strip()
    found: dict[str, Any] = {"build": build.order.build_id}
    if source.root_device:
        found["root_device"] = source.root_device
    found |= build.order.request.variables
    if key := found.get(BASTION_KEY):
        # Packer runs in another folder.
        found[BASTION_KEY] = str(Path(key).expanduser().absolute())
    found["verify_public_key"] = public
    if source_of(session.plan.spec, session.plan.platform, session.architecture).parameter:
        found[f"source_ami_{session.architecture}"] = source.id
    if build.endpoint_url:
        found |= {"endpoint_url": build.endpoint_url, "offline": True}
    return found

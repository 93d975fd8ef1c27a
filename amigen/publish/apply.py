"""Apply plans: regions side by side, the actions of one place in order, each written to the ledger when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, AwsError, ConflictError
from amigen.publish import names, observe
from amigen.publish.actions import (
    Action,
    AwaitImage,
    CopyImage,
    CreateTemplate,
    CreateVersion,
    DeprecateImage,
    PlacePlan,
    PutParameter,
    RemoveFailedCopy,
    RunCanary,
    SetDefault,
    ShareImage,
    TagImage,
)
from amigen.publish.names import VersionLabel
from amigen.publish.place_run import Canary, Ledger, PlaceRun
from amigen.publish.promote import move_default, put_parameter
from amigen.publish.template import as_tags, content_digest
from amigen.publish.threads import side_by_side
from amigen.publish.wait import Waiter

VISIBLE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Applier:
    """What applying needs of the world."""

    aws: Aws
    ledger: Ledger
    waiter: Waiter
    canary: Canary | None = None

    def apply(self, plans: Sequence[PlacePlan]) -> list[PlaceRun]:
        """Apply all plans; every place gets to its own end or error.

        Raises:
            KeyboardInterrupt: After the threads have ended; what is begun goes on in AWS.
        """
        runs = [PlaceRun(plan=p, image=p.image, template=p.template, version=p.version) for p in plans]
        side_by_side(self._one, runs, self.waiter)
        return runs

    def _one(self, run: PlaceRun) -> None:
        plan = run.plan
        key = plan.place.key
        self.ledger.restart(key, digest=plan.digest, built=plan.built)
        found = [step for step, there in (("built", True), ("copied", plan.image), ("template", plan.version)) if there]
        self.ledger.note(key, *found, **_known(run))
        try:
            for action in plan.actions:
                self.waiter.say(f"{key}: {action.title}")
                _DO[type(action)](self, run, action)
                run.done.append(action.title)
                self.ledger.note(key, action.step, **_known(run))
        except AmigenError as error:
            run.error = error
            self.waiter.say(f"{key}: failed: {error.message}")

    # -- images --------------------------------------------------------------------------------------------------

    def tag(self, run: PlaceRun, action: TagImage) -> None:
        """The tags of success."""
        self.aws.call(
            calls.TAG_IMAGE,
            run.plan.place.region,
            f"image {action.image}",
            Resources=[action.image, *action.snapshots],
            Tags=as_tags(action.tags),
        )
        run.image = action.image

    def remove_failed(self, run: PlaceRun, action: RemoveFailedCopy) -> None:
        """Deregister, after a last look: only what EC2 itself calls failed."""
        region = run.plan.place.region
        image = observe.find_image(self.aws, region, action.image)
        if image is None:
            return
        if image.state not in names.BROKEN_IMAGE:
            raise ConflictError(f"{action.image} in {region} is {image.state} by now, not failed", "run again")
        # Noted first: what is noted and not there has used up its token, see `copy`.
        self.ledger.note(run.plan.place.key, image=action.image)
        self.aws.call(calls.REMOVE_FAILED_COPY, region, f"image {action.image}", ImageId=action.image)

    def copy(self, run: PlaceRun, action: CopyImage) -> None:
        """Copy with tags from the start, so that a cut leaves nothing that the next run could not find.

        The token names the copy that was made here last, which is no more: with the token of that one, EC2 would answer
        with its id for ever.
        """
        region, key = run.plan.place.region, run.plan.place.key
        tags = as_tags(action.tags)
        token = names.token("copy", action.source, region, self.ledger.image(key))
        answer = self.aws.call(
            calls.COPY_IMAGE,
            region,
            f"image {action.source} of {action.source_region}",
            SourceImageId=action.source,
            SourceRegion=action.source_region,
            Name=action.name,
            ClientToken=token,
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
            **({"Encrypted": True} if action.encrypted else {}),
            **({"KmsKeyId": action.kms_key} if action.kms_key else {}),
        )
        run.image = answer["ImageId"]
        self.ledger.note(key, image=run.image)
        self._await_image(run, answer["ImageId"])

    def await_image(self, run: PlaceRun, action: AwaitImage) -> None:
        """An image that an earlier run began."""
        run.image = action.image
        self._await_image(run, action.image)

    def _await_image(self, run: PlaceRun, image: str) -> None:
        region = run.plan.place.region
        began = time.monotonic()

        def look() -> tuple[bool | None, str]:
            # Right after CopyImage the id may not be known everywhere yet; that is not a failure.
            found = observe.find_image(self.aws, region, image)
            state = found.state if found else "not visible yet"
            if not found and time.monotonic() - began > VISIBLE_SECONDS:
                raise AwsError(f"{image} is not in {region}: it was deregistered", "run again: another copy is made")
            if state in (*names.BROKEN_IMAGE, "deregistered", "disabled"):
                reason = f" ({found.reason})" if found and found.reason else ""
                hint = "the image of the build is untouched; run again: the failed copy is removed and made anew"
                raise AwsError(f"{image} in {region} is {state}{reason}", hint)
            return (True if state == "available" else None), state

        self.waiter.until(f"{run.plan.place.key}: {image}", look)

    def share(self, run: PlaceRun, action: ShareImage) -> None:
        """Add what is missing."""
        region, image = run.plan.place.region, _image(run)
        add = [
            *({"UserId": each} for each in action.accounts),
            *({"OrganizationArn": each} for each in action.organizations),
            *({"OrganizationalUnitArn": each} for each in action.units),
        ]
        if add:
            self.aws.call(calls.SHARE_IMAGE, region, f"image {image}", ImageId=image, LaunchPermission={"Add": add})
        if action.snapshot_accounts:
            found = observe.find_image(self.aws, region, image)
            for snapshot in found.snapshots if found else ():
                self.aws.call(
                    calls.SHARE_SNAPSHOT,
                    region,
                    f"snapshot {snapshot.id}",
                    SnapshotId=snapshot.id,
                    Attribute="createVolumePermission",
                    OperationType="add",
                    UserIds=list(action.snapshot_accounts),
                )

    def deprecate(self, run: PlaceRun, action: DeprecateImage) -> None:
        """Set the time."""
        image = _image(run)
        self.aws.call(
            calls.DEPRECATE_IMAGE, run.plan.place.region, f"image {image}", ImageId=image, DeprecateAt=action.at
        )

    # -- parameters and templates --------------------------------------------------------------------------------

    def parameter(self, run: PlaceRun, action: PutParameter) -> None:
        """Write it if it is still what the plan saw."""
        image = _image(run)
        region = run.plan.place.region
        put_parameter(self.aws, region, action.name, old=action.old, new=image, waiter=self.waiter)
        self.ledger.note(run.plan.place.key, parameter=action.name)

    def create_template(self, run: PlaceRun, action: CreateTemplate) -> None:
        """One call makes the template and its first version; its name is unique, so that it cannot be made twice."""
        region, image = run.plan.place.region, _image(run)
        data = _with_image(action.data, image)
        label = VersionLabel(spec=action.digest, content=content_digest(data, image), image=image)
        try:
            answer = self.aws.call(
                calls.CREATE_TEMPLATE,
                region,
                f"launch template {action.name}",
                LaunchTemplateName=action.name,
                VersionDescription=label.text(),
                LaunchTemplateData=data,
                ClientToken=names.token("template", action.name, label.text()),
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": as_tags(action.tags)}],
            )
        except CallError as error:
            raise _told(error, action.name) from None
        run.template = answer["LaunchTemplate"]["LaunchTemplateId"]
        run.version = run.default = 1

    def create_version(self, run: PlaceRun, action: CreateVersion) -> None:
        """The token names the newest version that the plan saw: it can be used for one next version only."""
        region, image = run.plan.place.region, _image(run)
        data = _with_image(action.data, image)
        label = VersionLabel(spec=action.digest, content=content_digest(data, image), image=image)
        try:
            answer = self.aws.call(
                calls.CREATE_TEMPLATE_VERSION,
                region,
                f"launch template {action.name}",
                LaunchTemplateId=action.template,
                VersionDescription=label.text(),
                LaunchTemplateData=data,
                ClientToken=names.token("version", action.template, action.after),
            )
        except CallError as error:
            raise _told(error, action.name) from None
        run.template = action.template
        run.version = answer["LaunchTemplateVersion"]["VersionNumber"]

    def run_canary(self, run: PlaceRun, action: RunCanary) -> None:
        """Prove the version."""
        assert self.canary is not None, "a plan with a canary was made without one"
        assert run.template is not None, "a canary comes after its template"
        assert run.version is not None, "a canary comes after its version"
        self.canary(run.plan.place, name=action.name, template=run.template, version=run.version, image=_image(run))

    def set_default(self, run: PlaceRun, action: SetDefault) -> None:
        """Move it if it is still where the plan saw it."""
        version = action.version or run.version
        assert version is not None, "the default moves to a version"
        move_default(
            self.aws,
            run.plan.place.region,
            action.name,
            action.template,
            old=action.old,
            new=version,
            waiter=self.waiter,
            back=action.back,
        )
        run.default = version


def _told(error: CallError, name: str) -> AmigenError:
    """The loser of two publishers is told so."""
    if error.code in ("IdempotentParameterMismatch", "InvalidLaunchTemplateName.AlreadyExistsException"):
        return ConflictError(
            f"another publisher has just made the next version of launch template {name} ({error.code})",
            "look at what is there (`amigen images drift SPEC`), then run again: it starts from their version",
        )
    return error


def _with_image(data: dict[str, object], image: str) -> dict[str, object]:
    named = str(data["ImageId"])
    return data if named.startswith("resolve:") else {**data, "ImageId": image}


def _image(run: PlaceRun) -> str:
    assert run.image is not None, "the image comes before what is made of it"
    return run.image


def _known(run: PlaceRun) -> dict[str, object]:
    known = {"image": run.image, "template": run.template, "version": run.version, "default": run.default}
    return {key: value for key, value in known.items() if value}


_DO: dict[type[Action], Callable[..., None]] = {
    TagImage: Applier.tag,
    RemoveFailedCopy: Applier.remove_failed,
    CopyImage: Applier.copy,
    AwaitImage: Applier.await_image,
    ShareImage: Applier.share,
    DeprecateImage: Applier.deprecate,
    PutParameter: Applier.parameter,
    CreateTemplate: Applier.create_template,
    CreateVersion: Applier.create_version,
    RunCanary: Applier.run_canary,
    SetDefault: Applier.set_default,
}

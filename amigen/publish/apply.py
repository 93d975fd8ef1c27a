"""Apply plans: regions side by side, the actions of one place in order, each written to the ledger when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, AwsError, ConflictError, RefusedError, plain
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
from amigen.publish.state import Image
from amigen.publish.template import as_tags, content_digest
from amigen.publish.threads import side_by_side
from amigen.publish.wait import TooLongError, Waiter

VISIBLE_SECONDS = 300.0
# A version that is not seen after this is gone.
_VERSION_SECONDS = 60.0
_TOKENS = 10


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
        """The tags of success; an image that was pending has got its snapshots since it was looked at."""
        region = run.plan.place.region
        snapshots = action.snapshots or [each.id for each in self._visible(run, action.image).snapshots]
        self.aws.call(
            calls.TAG_IMAGE,
            region,
            f"image {action.image}",
            Resources=[action.image, *snapshots],
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

    def _visible(self, run: PlaceRun, image: str) -> Image:
        """An image that is there: a look that does not see it yet is not one that finds nothing to do."""
        place = run.plan.place

        def look() -> tuple[Image | None, str]:
            found = observe.find_image(self.aws, place.region, image)
            return found, "" if found else "not visible yet"

        return self.waiter.until(f"{place.key}: {image}", look, every=2, at_most=VISIBLE_SECONDS)

    def share(self, run: PlaceRun, action: ShareImage) -> None:
        """Add what is missing. A copy may be encrypted by the account's default, whatever the spec says."""
        region, image = run.plan.place.region, _image(run)
        add = [
            *({"UserId": each} for each in action.accounts),
            *({"OrganizationArn": each} for each in action.organizations),
            *({"OrganizationalUnitArn": each} for each in action.units),
            *([{"Group": "all"}] if action.public else []),
        ]
        if add:
            self.aws.call(calls.SHARE_IMAGE, region, f"image {image}", ImageId=image, LaunchPermission={"Add": add})
        unseen = run.plan.image is None or any(isinstance(each, AwaitImage) for each in run.plan.actions)
        accounts = action.snapshot_accounts or (action.accounts if unseen else ())
        if accounts:
            found = self._visible(run, image)
            for snapshot in found.snapshots if any(each.encrypted for each in found.snapshots) else ():
                self.aws.call(
                    calls.SHARE_SNAPSHOT,
                    region,
                    f"snapshot {snapshot.id}",
                    SnapshotId=snapshot.id,
                    Attribute="createVolumePermission",
                    OperationType="add",
                    UserIds=list(accounts),
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
        self._refuse_warned(run)
        image = _image(run)
        region = run.plan.place.region
        put_parameter(self.aws, region, action.name, old=action.old, new=image, waiter=self.waiter)
        self.ledger.note(run.plan.place.key, parameter=action.name)

    def create_template(self, run: PlaceRun, action: CreateTemplate) -> None:
        """One call makes the template and its first version; its name is unique, so that it cannot be made twice."""
        image = _image(run)
        data = _with_image(action.data, image)
        label = VersionLabel(spec=action.digest, content=content_digest(data, image), image=image)

        def create(token: str) -> tuple[str, int, Any]:
            answer = self.aws.call(
                calls.CREATE_TEMPLATE,
                run.plan.place.region,
                f"launch template {action.name}",
                LaunchTemplateName=action.name,
                VersionDescription=label.text(),
                LaunchTemplateData=data,
                ClientToken=token,
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": as_tags(action.tags)}],
            )
            return answer["LaunchTemplate"]["LaunchTemplateId"], 1, answer.get("Warning")

        self._create(run, action.name, ("template", action.name, label.text()), 0, create)
        run.default = 1

    def create_version(self, run: PlaceRun, action: CreateVersion) -> None:
        """The token names the newest version that the plan saw: it can be used for one next version only."""
        image = _image(run)
        data = _with_image(action.data, image)
        label = VersionLabel(spec=action.digest, content=content_digest(data, image), image=image)

        def create(token: str) -> tuple[str, int, Any]:
            answer = self.aws.call(
                calls.CREATE_TEMPLATE_VERSION,
                run.plan.place.region,
                f"launch template {action.name}",
                LaunchTemplateId=action.template,
                VersionDescription=label.text(),
                LaunchTemplateData=data,
                ClientToken=token,
            )
            return action.template, answer["LaunchTemplateVersion"]["VersionNumber"], answer.get("Warning")

        self._create(run, action.name, ("version", action.template, action.after), action.after, create)
        self._refuse_warned(run)

    def _create(
        self,
        run: PlaceRun,
        name: str,
        intent: tuple[object, ...],
        after: int,
        create: Callable[[str], tuple[str, int, Any]],
    ) -> None:
        """Create, and look that it is there.

        EC2 remembers a token longer than what was made with it: after somebody has deleted that, the same call answers
        with what is gone, and one with other content is refused
        (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html). Such a token is followed by the next
        one, which is the same for everybody who finds it used up.

        Args:
            run: Gets template, version and warning.
            name: Of the template.
            intent: What the token is made of.
            after: The newest version that the plan saw; 0 where there was no template.
            create: Calls with a token; gives the template's id, the version and EC2's warning.
        """
        place = run.plan.place
        for generation in range(_TOKENS):
            token = names.token(*intent, *((generation,) if generation else ()))
            try:
                template, version, warning = create(token)
            except CallError as error:
                if error.code != "IdempotentParameterMismatch" or self._seen(run, name, after.__lt__):
                    raise _told(error, name) from None
            else:
                if self._seen(run, name, version.__eq__):
                    run.template, run.version, run.warning = template, version, _words(warning)
                    if run.warning:
                        self.waiter.say(f"{place.key}: EC2 warns of version {version}: {run.warning}")
                    self.ledger.note(place.key, warning=f"{version}:{run.warning}" if run.warning else "")
                    return
            self.waiter.say(f"{place.key}: what was made of {name} with this client token is gone; taking the next one")
        raise AwsError(
            f"launch template {name} in {place.region}: {_TOKENS} client tokens are used up by what is gone",
            "find out who deletes its versions",
        )

    def _seen(self, run: PlaceRun, name: str, wanted: Callable[[int], bool]) -> bool:
        """Whether such a version is there; it may take a moment until it is seen."""
        place = run.plan.place

        def look() -> tuple[bool | None, str]:
            found = observe.find_template(self.aws, place.region, name)
            there = found is not None and any(wanted(version.number) for version in found.versions)
            return (True if there else None), "" if there else "not visible yet"

        try:
            return self.waiter.until(f"{place.key}: {name}", look, every=2, at_most=_VERSION_SECONDS)
        except TooLongError:
            return False

    def _refuse_warned(self, run: PlaceRun) -> None:
        """What EC2 could not validate goes live only after a canary has shown that it launches.

        Raises:
            RefusedError: The default would move to it without one.
        """
        actions = run.plan.actions
        moves = any(isinstance(each, SetDefault) and not each.back for each in actions)
        if not moves or run.version is None or any(isinstance(each, RunCanary) for each in actions):
            return
        warning = run.warning or self.ledger.warning(run.plan.place.key, run.version)
        if warning:
            raise RefusedError(
                f"EC2 warns of version {run.version} of {run.plan.place.target.template} in {run.plan.place.region}:"
                f" {warning}; the default is unchanged",
                "correct what it names, or prove the version on an instance: --canary",
            )

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
        self._refuse_warned(run)
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


def _words(warning: Any) -> str:
    """ValidationWarning of EC2: what it could not validate, for a person."""
    found = [f"{each.get('Code', '')}: {each.get('Message', '')}" for each in (warning or {}).get("Errors", ())]
    return plain("; ".join(found))


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

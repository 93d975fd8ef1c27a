"""One instance of a new template version, proven and gone before others follow."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, AwsError, CouldNotCheckError
from amigen.plan.model import ImagePlan
from amigen.publish import names, observe, proof
from amigen.publish.canary_launch import launch_params
from amigen.publish.ledger import Ledger
from amigen.publish.names import Place
from amigen.publish.run_command import Answer, Rate, run_script
from amigen.publish.wait import TooLongError, Waiter

# A version that EC2 does not know after this is not there.
_VISIBLE_SECONDS = 60.0
_ENDED = ("shutting-down", "terminated")
# User data must have ended before anything is judged; its own failure is one of the checks.
_WAIT_FOR_USER_DATA = "if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1 || true; fi\n"


@dataclass(frozen=True, kw_only=True)
class CanaryRunner:
    """Launches, proves and terminates canaries.

    Attributes:
        plans: The plan of each platform.
        subnets: Region -> subnet to launch in; the default VPC's elsewhere.
    """

    aws: Aws
    plans: Mapping[str, ImagePlan]
    ledger: Ledger
    waiter: Waiter
    subnets: Mapping[str, str]

    def __call__(self, place: Place, *, name: str, template: str, version: int, image: str) -> None:
        """Prove one version.

        Raises:
            ChecksFailedError: A check failed; the default is unchanged.
            CouldNotCheckError: The instance did not come up, or did not answer.
            AwsError: A call failed.
        """
        instance = self._find_or_launch(place, name=name, template=template, version=version, image=image)
        try:
            self._await_online(place, instance)
            self._prove(place, instance, f"{name} version {version}")
        except AmigenError as error:
            raise self._ended_by(error, place, instance) from None
        except BaseException:
            self._terminate(place, instance)
            raise
        self._terminate(place, instance)

    def _ended_by(self, error: AmigenError, place: Place, instance: str) -> AmigenError:
        """Terminate a canary that failed. Where that fails, too, both are told: the one must not hide the other."""
        try:
            self._terminate(place, instance)
        except AmigenError as left:
            kind = type(error) if type(error).__init__ is AmigenError.__init__ else AwsError
            return kind(
                f"{error.message}; and the canary {instance} is still there: {left.message}",
                f"{error.hint}; terminate the canary, or run again: it is taken up and terminated then",
            )
        return error

    def _find_or_launch(self, place: Place, *, name: str, template: str, version: int, image: str) -> str:
        """The canary of a run that was cut off is taken up again, whether it was seen to be launched or not."""
        mark = f"{name}/{version}"
        what = f"canaries of {mark}"
        found = observe.running_instances(self.aws, place.region, what, **{names.TAG_CANARY: mark})
        there = [each for each in found if each.state in ("pending", "running")]
        if there:
            self.waiter.say(f"{place.key}: resuming canary {there[0].id} of an earlier run")
            for other in there[1:]:
                self._terminate(place, other.id)
            return there[0].id
        token = self.ledger.entry(place.key).canary_token
        known = token.startswith(f"{version}-")
        token = token if known else self._new_token(place, version)
        params = launch_params(
            self.plans[place.target.platform],
            place,
            template=template,
            version=version,
            data=self._data(place, template, version),
            image=image,
            mark=mark,
            subnet=self.subnets.get(place.region),
        )
        instance = self._launch(place, params, token, f"canary of {mark}", known=known)
        if instance is None:
            instance = self._launch(place, params, self._new_token(place, version), f"canary of {mark}", known=False)
        assert instance is not None, "a new token is not used up"
        self.waiter.say(f"{place.key}: launched canary {instance}")
        return instance

    def _new_token(self, place: Place, version: int) -> str:
        token = f"{version}-{uuid.uuid4().hex}"
        self.ledger.note(place.key, canary_token=token)
        return token

    def _launch(self, place: Place, params: dict[str, Any], token: str, what: str, *, known: bool) -> str | None:
        """RunInstances; None where the token of an earlier run is used up: by an instance that somebody has terminated
        since, or by a launch with other parameters.
        """
        try:
            answer = self.aws.call(calls.RUN_CANARY, place.region, what, **params, ClientToken=token)
        except CallError as error:
            if not known or error.code != "IdempotentParameterMismatch":
                raise
            return None
        instance: str = answer.first("Instances")["InstanceId"]
        # The answer to a token that was used is the first answer, so that the state in it says nothing.
        gone = known and self._described(place, instance).get("State", {}).get("Name") in _ENDED
        return None if gone else instance

    def _described(self, place: Place, instance: str) -> dict[str, Any]:
        """What EC2 says of an instance; nothing where it does not see it (yet), which by its id would be an error."""
        filters = [{"Name": "instance-id", "Values": [instance]}]
        pages = self.aws.pages(calls.DESCRIBE_INSTANCES, place.region, f"instance {instance}", Filters=filters)
        return next((each for reservation in pages for each in reservation["Instances"]), {})

    def _data(self, place: Place, template: str, version: int) -> dict[str, Any]:
        """What the version says. It was made just now: EC2 may need a moment to know it everywhere."""
        what = f"launch template {template} version {version}"
        wanted = {"LaunchTemplateId": template, "Versions": [str(version)]}

        def look() -> tuple[dict[str, Any] | None, str]:
            try:
                found = self.aws.call(calls.DESCRIBE_TEMPLATE_VERSIONS, place.region, what, **wanted)
            except CallError as error:
                if error.code != "InvalidLaunchTemplateId.VersionNotFound":
                    raise
                return None, "not visible yet"
            data: dict[str, Any] = found.first("LaunchTemplateVersions")["LaunchTemplateData"]
            return data, ""

        return self.waiter.until(f"{place.key}: {what}", look, every=2, at_most=_VISIBLE_SECONDS)

    def _await_online(self, place: Place, instance: str) -> None:
        def look() -> tuple[bool | None, str]:
            found = self._described(place, instance)
            state = found["State"]["Name"] if found else "not visible yet"
            if state in (*_ENDED, "stopping", "stopped"):
                reason = found.get("StateReason", {}).get("Message", "")
                raise CouldNotCheckError(
                    f"the canary {instance} in {place.region} is {state}" + (f": {reason}" if reason else ""),
                    "see the instance's console output; the default version is unchanged",
                )
            filters = [{"Key": "InstanceIds", "Values": [instance]}]
            what = f"instance {instance}"
            managed = list(self.aws.pages(calls.DESCRIBE_MANAGED_INSTANCES, place.region, what, Filters=filters))
            online = bool(managed) and managed[0].get("PingStatus") == "Online"
            return (True if online else None), "online" if online else f"{state}, SSM agent not online yet"

        try:
            self.waiter.until(f"{place.key}: canary {instance}", look)
        except TooLongError as error:
            raise CouldNotCheckError(
                error.message,
                "Session Manager needs the agent, a role with AmazonSSMManagedInstanceCore (aws.iamInstanceProfile)"
                " and a way to the SSM endpoints",
            ) from None

    def _prove(self, place: Place, instance: str, what: str) -> None:
        plan = self.plans[place.target.platform]
        token = uuid.uuid4().hex
        answers, _ = run_script(
            self.aws,
            place.region,
            _WAIT_FOR_USER_DATA + proof.script_of(plan, token),
            call=calls.SEND_CANARY_COMMAND,
            waiter=self.waiter,
            rate=Rate(timeout=1800),
            instances=[instance],
        )
        silent = Answer(instance=instance, region=place.region, problem="was not asked: is its SSM agent online?")
        report = proof.judge(plan, token, [answers.get(instance, silent)])[instance]
        error = report if isinstance(report, CouldNotCheckError) else report.error()
        if error is not None:
            raise type(error)(
                f"the canary of {what} in {place.region}: {error.message}",
                f"the default version is unchanged; {error.hint}",
            )
        assert not isinstance(report, CouldNotCheckError), "an error was raised above"
        self.waiter.say(f"{place.key}: canary {instance}: {report.summary}")

    def _terminate(self, place: Place, instance: str) -> None:
        # Its token is spent: EC2 would answer it with this instance again, gone as it is. Forgotten before the call, as
        # after a cut the instance itself is found by its tag.
        self.ledger.note(place.key, canary_token="")
        try:
            self.aws.call(calls.TERMINATE_CANARY, place.region, f"instance {instance}", InstanceIds=[instance])
        except CallError as error:
            if error.code != "InvalidInstanceID.NotFound":
                raise
        self.waiter.say(f"{place.key}: terminated canary {instance}")

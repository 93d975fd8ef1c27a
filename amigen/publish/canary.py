"""One instance of a new template version, proven and gone before others follow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from amigen.aws import calls, model
from amigen.aws.errors import CallError
from amigen.base.errors import AmigenError, CouldNotCheckError
from amigen.plan.model import ImagePlan
from amigen.publish import names, observe, proof
from amigen.publish.run_command import Answer, Rate, run_script
from amigen.publish.steps import Means, PlaceRun
from amigen.publish.template import as_tags, cut, tagged_at_launch
from amigen.publish.wait import TooLongError
from amigen.render.packer import INSTANCE_TYPES

# A version that EC2 does not know after this is not there.
_VISIBLE_SECONDS = 60.0
_ENDED = ("shutting-down", "terminated")
# User data must have ended before anything is judged; its own failure is one of the checks.
_WAIT_FOR_USER_DATA = "if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1 || true; fi\n"


@dataclass(frozen=True, kw_only=True)
class Canary:
    """The canary of the version of a run: launched, proven, terminated.

    Attributes:
        plan: Of the platform.
        subnet: Where to launch; None for the builder's subnet, or as EC2 chooses.
    """

    means: Means
    run: PlaceRun
    plan: ImagePlan
    subnet: str | None

    @property
    def _mark(self) -> str:
        """What the tag of the canary says."""
        return f"{self.run.place.target.template}/{self.run.version}"

    def _say(self, text: str) -> None:
        self.means.waiter.say(f"{self.run.place.key}: {text}")

    def prove(self) -> None:
        """Prove the version.

        Raises:
            ChecksFailedError: A check failed; the default is unchanged.
            CouldNotCheckError: The instance did not come up, or did not answer.
            AwsError: A call failed.
        """
        instance = self._find_or_launch()
        try:
            self._await_online(instance)
            self._judge(instance)
        except AmigenError as error:
            raise self._ended_by(error, instance) from None
        except BaseException:
            self._terminate(instance)
            raise
        self._terminate(instance)

    def _ended_by(self, error: AmigenError, instance: str) -> AmigenError:
        """Terminate a canary that failed. Where that fails, too, both are told: the one must not hide the other."""
        try:
            self._terminate(instance)
        except AmigenError as left:
            return error.kind()(
                f"{error.message}; and the canary {instance} is still there: {left.message}",
                f"{error.hint}; terminate the canary, or run again: it is taken up and terminated then",
            )
        return error

    def _find_or_launch(self) -> str:
        """The canary of a run that was cut off is taken up again, whether it was seen to be launched or not."""
        key, what = self.run.place.key, f"canaries of {self._mark}"
        found = observe.running_instances(self.means.aws, self.run.place.region, what, **{names.TAG_CANARY: self._mark})
        there = [each.id for each in found if each.state in ("pending", "running")]
        if there:
            self._say(f"resuming canary {there[0]} of an earlier run")
            for other in there[1:]:
                self._terminate(other)
            return there[0]
        params, token = self._params(), self.means.ledger.entry(key).canary_token
        instance = self._launch(params, token, known=True) if token.startswith(f"{self.run.version}-") else None
        if instance is None:
            token = f"{self.run.version}-{uuid.uuid4().hex}"
            self.means.ledger.note(key, canary_token=token)
            instance = self._launch(params, token, known=False)
        assert instance is not None, "a new token is not used up"
        self._say(f"launched canary {instance}")
        return instance

    def _launch(self, params: dict[str, Any], token: str, *, known: bool) -> str | None:
        """RunInstances; None where the token of an earlier run is used up: by an instance that somebody has terminated
        since, or by a launch with other parameters.
        """
        what = f"canary of {self._mark}"
        try:
            answer = self.means.aws.call(calls.RUN_CANARY, self.run.place.region, what, **params, ClientToken=token)
        except CallError as error:
            if not known or error.code != "IdempotentParameterMismatch":
                raise
            return None
        instance: str = answer.first("Instances")["InstanceId"]
        # The answer to a token that was used is the first answer, so that the state in it says nothing.
        gone = known and self._described(instance).get("State", {}).get("Name") in _ENDED
        return None if gone else instance

    def _params(self) -> dict[str, Any]:
        """As the template says, with what it leaves open; without the client token."""
        spec, target, data = self.plan.spec.aws, self.run.place.target, self._data()
        tags = {**spec.tags, **target.tags, names.TAG_DIGEST: self.plan.digest, names.TAG_CANARY: self._mark}
        params: dict[str, Any] = {
            "LaunchTemplate": {"LaunchTemplateId": self.run.template, "Version": str(self.run.version)},
            "MinCount": 1,
            "MaxCount": 1,
            "TagSpecifications": [{"ResourceType": kind, "Tags": as_tags(tags)} for kind in tagged_at_launch(data)],
        }
        if spec.launch_template.resolve_ssm_parameter:
            params["ImageId"] = self.run.ami  # the parameter moves only after this
        if not (data.get("InstanceType") or data.get("InstanceRequirements")):
            # The template leaves the type to the node group.
            architecture = target.architecture
            params["InstanceType"] = spec.instance_types.get(architecture, INSTANCE_TYPES[architecture])
        if spec.iam_instance_profile and not data.get("IamInstanceProfile"):
            params["IamInstanceProfile"] = {"Name": spec.iam_instance_profile}
        own = spec.subnet_id if self.run.place.region == spec.region else None
        return {**params, **_subnet(data, self.subnet, own)}

    def _described(self, instance: str) -> dict[str, Any]:
        """What EC2 says of an instance; nothing where it does not see it (yet), which by its id would be an error."""
        filters = [{"Name": "instance-id", "Values": [instance]}]
        pages = self.means.aws.pages(
            calls.DESCRIBE_INSTANCES, self.run.place.region, f"instance {instance}", Filters=filters
        )
        return next((each for reservation in pages for each in reservation["Instances"]), {})

    def _data(self) -> dict[str, Any]:
        """What the version says. It was made just now: EC2 may need a moment to know it everywhere."""
        what = f"launch template {self.run.template} version {self.run.version}"
        wanted = {"LaunchTemplateId": self.run.template, "Versions": [str(self.run.version)]}

        def find() -> dict[str, Any] | None:
            try:
                found = self.means.aws.call(calls.DESCRIBE_TEMPLATE_VERSIONS, self.run.place.region, what, **wanted)
            except CallError as error:
                if error.code != "InvalidLaunchTemplateId.VersionNotFound":
                    raise
                return None
            data: dict[str, Any] = found.first("LaunchTemplateVersions")["LaunchTemplateData"]
            return data

        return self.means.waiter.visible(f"{self.run.place.key}: {what}", find, at_most=_VISIBLE_SECONDS)

    def _await_online(self, instance: str) -> None:
        region = self.run.place.region

        def look() -> tuple[bool | None, str]:
            found = self._described(instance)
            state = found["State"]["Name"] if found else "not visible yet"
            if state in (*_ENDED, "stopping", "stopped"):
                reason = found.get("StateReason", {}).get("Message", "")
                raise CouldNotCheckError(
                    f"the canary {instance} in {region} is {state}" + (f": {reason}" if reason else ""),
                    "see the instance's console output; the default version is unchanged",
                )
            filters, what = [{"Key": "InstanceIds", "Values": [instance]}], f"instance {instance}"
            managed: dict[str, Any] = next(
                self.means.aws.pages(calls.DESCRIBE_MANAGED_INSTANCES, region, what, Filters=filters), {}
            )
            online = managed.get("PingStatus") == "Online"
            return (True if online else None), "online" if online else f"{state}, SSM agent not online yet"

        try:
            self.means.waiter.until(f"{self.run.place.key}: canary {instance}", look)
        except TooLongError as error:
            raise CouldNotCheckError(
                error.message,
                "Session Manager needs the agent, a role with AmazonSSMManagedInstanceCore (aws.iamInstanceProfile)"
                " and a way to the SSM endpoints",
            ) from None

    def _judge(self, instance: str) -> None:
        token, plans = uuid.uuid4().hex, {self.plan.platform: self.plan}
        region, template = self.run.place.region, self.run.place.target.template
        answers, _ = run_script(
            self.means.aws,
            region,
            _WAIT_FOR_USER_DATA + proof.script_of(plans, token),
            call=calls.SEND_CANARY_COMMAND,
            waiter=self.means.waiter,
            rate=Rate(timeout=1800),
            instances=[instance],
        )
        silent = Answer(instance=instance, region=region, problem="was not asked: is its SSM agent online?")
        answer = replace(answers.get(instance, silent), platform=self.plan.platform)
        (report,) = proof.judge(plans, token, [answer])
        error = report if isinstance(report, CouldNotCheckError) else report.error()
        if error is not None:
            raise type(error)(
                f"the canary of {template} version {self.run.version} in {region}: {error.message}",
                f"the default version is unchanged; {error.hint}",
            )
        assert not isinstance(report, CouldNotCheckError), "an error was raised above"
        self._say(f"canary {instance}: {report.summary}")

    def _terminate(self, instance: str) -> None:
        # Its token is spent: EC2 would answer it with this instance again, gone as it is. Forgotten before the call, as
        # after a cut the instance itself is found by its tag.
        place, what = self.run.place, f"instance {instance}"
        self.means.ledger.note(place.key, canary_token="")
        try:
            self.means.aws.call(calls.TERMINATE_CANARY, place.region, what, InstanceIds=[instance])
        except CallError as error:
            if error.code != "InvalidInstanceID.NotFound":
                raise
        self._say(f"terminated canary {instance}")


def _subnet(data: dict[str, Any], asked: str | None, own: str | None) -> dict[str, Any]:
    """Where to launch: beside network interfaces EC2 takes no subnet, it belongs into the first of them.

    All of them are sent, as the template has them: so it is the same whether EC2 puts what a request says in their
    place or beside them. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
    (SubnetId: "If you specify a network interface, you must specify any subnets as part of the network interface").
    """
    subnet = asked or own
    if not subnet:
        return {}
    shape = model.shape("ec2", "InstanceNetworkInterfaceSpecification")
    interfaces: list[dict[str, Any]] = [cut(each, shape) for each in data.get("NetworkInterfaces", ())]
    if not interfaces:
        return {"SubnetId": subnet}
    first = min(interfaces, key=lambda each: int(each.get("DeviceIndex", 0)))
    if first.get("NetworkInterfaceId") or (first.get("SubnetId") and not asked):
        return {}
    return {"NetworkInterfaces": [{**each, "SubnetId": subnet} if each is first else each for each in interfaces]}

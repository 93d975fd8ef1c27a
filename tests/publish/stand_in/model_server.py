"""Answers the calls that moto has not, by botocore's own service model: shapes are right, behaviour is as documented
and as small as the tests need."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tests.publish.stand_in.auto_scaling import NOW, InstanceRefreshes, public
from tests.publish.stand_in.moto_gaps import Gaps
from tests.publish.stand_in.usage_reports import UsageReports
from tests.publish.stand_in.wire import Refusal, Request, page_start

# Details of a status that is less exact (ssm, API_CommandInvocation).
_DETAILED = {"Undeliverable": "TimedOut", "Terminated": "Cancelled"}
Answer = Callable[[Request], dict[str, Any]]


@cache
def client_at(service: str, region: str, url: str) -> Any:
    """A client straight at moto."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=region, endpoint_url=url, **keys)


class ModelServer(InstanceRefreshes):
    """State and answers of what moto lacks.

    Attributes:
        public_parameters: (region, name) -> value, for EKS's and Canonical's images.
        page_size: Versions of launch templates in a page, at most.
        run: What a managed instance does with commands: (instance id, commands) -> (exit code, stdout, stderr).
        health, everywhere: What `$NODE_HEALTH` is on an instance, and on all others.
        bad_versions: Template versions with which a rollout fails.
        offline: Instances whose SSM agent does not answer.
        lists_unsent: Invocations that were not sent, as there were too many errors, are listed as `Terminated`.
        late_parameters: Looks at a parameter of an image's id that still see what was there before it was written.
        consoles: Instance id -> file with its serial console, as a VM behind the instance writes it.
        refuse_parameters: Such a value is taken with status 200, and dropped when it is checked.
    """

    def __init__(self, moto: str, gaps: Gaps) -> None:
        super().__init__(gaps)
        self._moto = moto
        self.usage = UsageReports()
        self.page_size = 200
        self.public_parameters: dict[tuple[str, str], str] = {}
        self.health: dict[str, str] = {}
        self.everywhere = "healthy"
        self.run: Callable[[str, list[str]], tuple[int, str, str]] = self._run
        self.offline: set[str] = set()
        self.consoles: dict[str, Path] = {}
        self.late_parameters = 0
        self.refuse_parameters = False
        self._unchecked: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.commands_end = True
        self.lists_unsent = True
        self.updates_end = True
        self.nodegroups: dict[tuple[str, str], dict[str, Any]] = {}
        self.updates: dict[str, dict[str, Any]] = {}
        self._invocations: dict[str, dict[str, dict[str, Any]]] = {}
        self._commands: dict[str, dict[str, Any]] = {}
        self._answers: dict[tuple[str, str], Answer] = {
            ("ec2", "EnableImageDeprecation"): self._deprecate,
            ("ec2", "GetConsoleOutput"): self._console,
            ("ec2", "DescribeLaunchTemplateVersions"): self._template_versions,
            ("ec2", "CreateImageUsageReport"): self.usage.create,
            ("ec2", "DescribeImageUsageReports"): self.usage.describe,
            ("ec2", "DescribeImageUsageReportEntries"): self.usage.entries,
            ("ec2", "DescribeImageReferences"): self.usage.refer,
            ("ssm", "GetParameter"): self._public_parameter,
            ("ssm", "DescribeInstanceInformation"): self._managed,
            ("ssm", "StartSession"): self._start_session,
            ("ssm", "TerminateSession"): lambda request: {"SessionId": request.params["SessionId"]},
            ("ssm", "SendCommand"): self._send,
            ("ssm", "ListCommands"): self._commands_of,
            ("ssm", "ListCommandInvocations"): self._invocations_of,
            ("ssm", "GetCommandInvocation"): self._invocation,
            ("ssm", "CancelCommand"): self._cancel_command,
            ("autoscaling", "StartInstanceRefresh"): self._start_refresh,
            ("autoscaling", "DescribeInstanceRefreshes"): self._describe_refreshes,
            ("autoscaling", "CancelInstanceRefresh"): self._cancel_refresh,
            ("eks", "DescribeNodegroup"): self._nodegroup,
            ("eks", "UpdateNodegroupVersion"): self._update_nodegroup,
            ("eks", "ListUpdates"): self._list_updates,
            ("eks", "DescribeUpdate"): self._describe_update,
        }

    def _run(self, instance: str, commands: list[str]) -> tuple[int, str, str]:
        from tests.publish.stand_in.proof import run_on_this_machine

        return run_on_this_machine(self.health.get(instance, self.everywhere), commands)

    def find(self, request: Request) -> Answer | None:
        """What answers this call; None leaves it to moto."""
        if request.operation == "PutParameter":
            return self._take_parameter if self.late_parameters or self.refuse_parameters else None
        if request.operation == "GetParameter" and not request.params["Name"].startswith("/aws/service/"):
            self._check_parameter(request)
            return None
        return self._answers.get((request.service, request.operation))

    def _client(self, service: str, region: str) -> Any:
        return client_at(service, region, self._moto)

    # -- EC2 and parameters --------------------------------------------------------------------------------------

    def _deprecate(self, request: Request) -> dict[str, Any]:
        at = request.params["DeprecateAt"]
        text = at if isinstance(at, str) else at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self._gaps.deprecated[request.params["ImageId"]] = text
        return {"Return": True}

    def _console(self, request: Request) -> dict[str, Any]:
        """The last 64 KB (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html)."""
        instance = request.params["InstanceId"]
        file = self.consoles.get(instance)
        said = file.read_bytes()[-65536:] if file and file.exists() else b""
        return {"InstanceId": instance, "Output": base64.b64encode(said).decode()}

    def _start_session(self, request: Request) -> dict[str, Any]:
        """The id begins with the caller's `aws:userid`, which `tests.publish.authority` does not fill in."""
        return {"SessionId": "${aws:userid}-0", "StreamUrl": "wss://127.0.0.1/", "TokenValue": "token"}

    def _public_parameter(self, request: Request) -> dict[str, Any]:
        name = request.params["Name"]
        value = self.public_parameters.get((request.region, name))
        if value is None:
            raise Refusal("ParameterNotFound", f"Parameter {name} not found.")
        return {"Parameter": {"Name": name, "Type": "String", "Value": value, "Version": 1}}

    def _take_parameter(self, request: Request) -> dict[str, Any]:
        """Of an image's id SSM says 200, and checks it afterwards (systems-manager, API_PutParameter, DataType)."""
        assert request.params.get("DataType") == "aws:ec2:image"
        if not self.refuse_parameters:
            self._unchecked[request.region, request.params["Name"]] = (self.late_parameters, request.params)
        return {"Version": 1, "Tier": "Standard"}

    def _check_parameter(self, request: Request) -> None:
        key = (request.region, request.params["Name"])
        if key not in self._unchecked:
            return
        looks, params = self._unchecked.pop(key)
        if looks:
            self._unchecked[key] = (looks - 1, params)
        else:
            self._client("ssm", request.region).put_parameter(**params)

    def _template_versions(self, request: Request) -> dict[str, Any]:
        """In pages of at most `page_size`, which moto has not; without a template `$Default` and `$Latest` of all.

        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html
        """
        client, params = self._client("ec2", request.region), request.params
        key = next((name for name in ("LaunchTemplateId", "LaunchTemplateName") if name in params), "")
        wanted = {"Versions": params["Versions"]} if "Versions" in params else {}
        if key:
            templates = [params[key]]
        elif set(wanted["Versions"]) <= {"$Default", "$Latest"}:
            key = "LaunchTemplateId"
            found = client.describe_launch_templates(MaxResults=1000)["LaunchTemplates"]
            templates = [each["LaunchTemplateId"] for each in found]
        else:
            raise Refusal("MissingParameter", "The request must contain the parameter launchTemplateName")
        size = min(int(params.get("MaxResults", 200)), self.page_size)
        start = page_start(request)
        out: list[dict[str, Any]] = []
        try:
            for template in templates:
                answer = client.describe_launch_template_versions(**{key: template}, **wanted, MaxResults=1000)
                out += {v["VersionNumber"]: v for v in answer["LaunchTemplateVersions"]}.values()
        except ClientError as error:
            raise Refusal(error.response["Error"]["Code"], error.response["Error"]["Message"]) from None
        more = {"NextToken": str(start + size)} if start + size < len(out) else {}
        return {"LaunchTemplateVersions": out[start : start + size], **more}

    # -- Systems Manager -----------------------------------------------------------------------------------------

    def _instances(self, region: str, filters: list[dict[str, Any]]) -> list[str]:
        pages = self._client("ec2", region).get_paginator("describe_instances").paginate(Filters=filters)
        return [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]

    def _managed(self, request: Request) -> dict[str, Any]:
        wanted: list[str] = []
        for each in request.params.get("Filters", []):
            if each["Key"] == "InstanceIds":
                wanted += each["Values"]
        running = self._instances(request.region, [{"Name": "instance-state-name", "Values": ["running"]}])
        there = [i for i in running if (not wanted or i in wanted) and i not in self.offline]
        return {"InstanceInformationList": [{"InstanceId": i, "PingStatus": "Online"} for i in there]}

    def _send(self, request: Request) -> dict[str, Any]:
        params = request.params
        instances = list(params.get("InstanceIds", []))
        for target in params.get("Targets", []):
            filters = [
                {"Name": target["Key"], "Values": target["Values"]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
            instances += self._instances(request.region, filters)
        command = f"00000000-0000-0000-0000-{next(self._ids):012d}"
        invocations: dict[str, dict[str, Any]] = {}
        at_once = _limit(params.get("MaxConcurrency", "50"), len(instances))
        errors = _limit(params.get("MaxErrors", "0"), len(instances))
        for number, instance in enumerate(instances):
            if number % at_once == 0 and sum(i["Status"] == "Failed" for i in invocations.values()) > errors:
                # What is on its way ends; no more is sent (systems-manager, send-commands-multiple, error controls).
                left = instances[number:] if self.lists_unsent else []
                invocations |= {i: {"Status": "Terminated", "code": -1, "out": "", "err": ""} for i in left}
                break
            if instance in self.offline:
                invocations[instance] = {"Status": "Undeliverable", "code": -1, "out": "", "err": ""}
                continue
            code, out, err = self.run(instance, params["Parameters"]["commands"])
            status = "Success" if code == 0 else "Failed"
            # Run Command keeps this much of the output (docs: GetCommandInvocation).
            invocations[instance] = {"Status": status, "code": code, "out": out[:24000], "err": err[:8000]}
        self._invocations[command] = invocations
        self._commands[command] = {**params, "_targets": len(instances)}
        return {
            "Command": {
                "CommandId": command,
                "Status": "Pending",
                "TargetCount": len(instances),
                "RequestedDateTime": NOW,
            }
        }

    def _commands_of(self, request: Request) -> dict[str, Any]:
        command = request.params["CommandId"]
        if command not in self._commands:
            raise Refusal("InvalidCommandId", "no such command")
        states = [each["Status"] for each in self._invocations[command].values()]
        targets = self._commands[command]["_targets"]
        status = "Success" if states == ["Success"] * targets else "Failed"
        if not self.commands_end:
            status = "InProgress"
        item = {"CommandId": command, "Status": status, "TargetCount": targets, "CompletedCount": len(states)}
        return {"Commands": [item]}

    def _invocations_of(self, request: Request) -> dict[str, Any]:
        command = request.params["CommandId"]
        found = self._invocations.get(command)
        if found is None:
            raise Refusal("InvalidCommandId", "no such command")
        items = [
            {
                "CommandId": command,
                "InstanceId": instance,
                "Status": _DETAILED.get(each["Status"], each["Status"]),
                "StatusDetails": each["Status"],
            }
            for instance, each in found.items()
        ]
        return {"CommandInvocations": items}

    def _invocation(self, request: Request) -> dict[str, Any]:
        params = request.params
        each = self._invocations.get(params["CommandId"], {}).get(params["InstanceId"])
        if each is None:
            raise Refusal("InvocationDoesNotExist", "no such invocation")
        return {
            "CommandId": params["CommandId"],
            "InstanceId": params["InstanceId"],
            "Status": _DETAILED.get(each["Status"], each["Status"]),
            "StatusDetails": each["Status"],
            "ResponseCode": each["code"],
            "StandardOutputContent": each["out"],
            "StandardErrorContent": each["err"],
        }

    def _cancel_command(self, request: Request) -> dict[str, Any]:
        return {}

    # -- EKS -----------------------------------------------------------------------------------------------------

    def _found_nodegroup(self, request: Request) -> dict[str, Any]:
        found = self.nodegroups.get((request.params["clusterName"], request.params["nodegroupName"]))
        if found is None:
            raise Refusal(
                "ResourceNotFoundException", f"No node group found for name: {request.params['nodegroupName']}."
            )
        return found

    def _nodegroup(self, request: Request) -> dict[str, Any]:
        busy = any(u["status"] == "InProgress" for u in self.updates.values())
        return {"nodegroup": {**self._found_nodegroup(request), "status": "UPDATING" if busy else "ACTIVE"}}

    def _update_nodegroup(self, request: Request) -> dict[str, Any]:
        group = self._found_nodegroup(request)
        if any(u["status"] == "InProgress" for u in self.updates.values()):
            raise Refusal("ResourceInUseException", "the node group has an update in progress")
        template = request.params["launchTemplate"]
        update: dict[str, Any] = {
            "id": f"update-{next(self._ids)}",
            "status": "InProgress",
            "type": "VersionUpdate",
            "params": [{"type": "LaunchTemplateVersion", "value": str(template["version"])}],
            "createdAt": NOW,
            "errors": [],
            "_group": group,
            "_looks": 0,
        }
        self.updates[update["id"]] = update
        return {"update": public(update)}

    def _list_updates(self, request: Request) -> dict[str, Any]:
        return {"updateIds": list(self.updates)}

    def _describe_update(self, request: Request) -> dict[str, Any]:
        params = request.params
        update = self.updates.get(params["updateId"])
        if update is None:
            raise Refusal("ResourceNotFoundException", "no such update")
        update["_looks"] += 1
        version = update["params"][0]["value"]
        if update["status"] == "InProgress" and update["_looks"] > 1 and self.updates_end:
            if version in self.bad_versions and not self.bad_groups:
                error = {"errorCode": "NodeCreationFailure", "errorMessage": "nodes did not join", "resourceIds": ["x"]}
                update.update(status="Failed", errors=[error])
            else:
                update["status"] = "Successful"
                update["_group"]["launchTemplate"] = {**update["_group"]["launchTemplate"], "version": version}
        return {"update": public(update)}


def _limit(text: str, of: int) -> int:
    """A number, or a percentage of the targets."""
    return max(of * int(text[:-1]) // 100, int(text != "0%")) if text.endswith("%") else int(text)

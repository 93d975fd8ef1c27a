"""Answers the calls that moto has not, by botocore's own service model: shapes are right, behaviour is as documented
and as small as the tests need."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import Any

import boto3

from tests.publish.stand_in.moto_gaps import Gaps
from tests.publish.stand_in.wire import Refusal, Request

# Details of a status that is less exact (ssm, API_CommandInvocation).
_DETAILED = {"Undeliverable": "TimedOut", "Terminated": "Cancelled"}
Answer = Callable[[Request], dict[str, Any]]
_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


@cache
def client_at(service: str, region: str, url: str) -> Any:
    """A client straight at moto."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=region, endpoint_url=url, **keys)


class ModelServer:
    """State and answers of what moto lacks.

    Attributes:
        public_parameters: (region, name) -> value, for EKS's and Canonical's images.
        run: What a managed instance does with commands: (instance id, commands) -> (exit code, stdout, stderr).
        health, everywhere: What `$NODE_HEALTH` is on an instance, and on all others.
        bad_versions: Template versions with which a rollout fails.
        stuck_versions: Template versions to which an instance refresh never ends.
        fail_refreshes: How many of the next instance refreshes fail.
        offline: Instances whose SSM agent does not answer.
        lists_unsent: Invocations that were not sent, as there were too many errors, are listed as `Terminated`.
        late_parameters: Looks at a parameter of an image's id that still see what was there before it was written.
        refuse_parameters: Such a value is taken with status 200, and dropped when it is checked.
    """

    def __init__(self, moto: str, gaps: Gaps) -> None:
        self._moto = moto
        self._gaps = gaps
        self._ids = itertools.count(1)
        self.public_parameters: dict[tuple[str, str], str] = {}
        self.health: dict[str, str] = {}
        self.everywhere = "healthy"
        self.run: Callable[[str, list[str]], tuple[int, str, str]] = self._run
        self.offline: set[str] = set()
        self.late_parameters = 0
        self.refuse_parameters = False
        self._unchecked: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.commands_end = True
        self.lists_unsent = True
        self.updates_end = True
        self.bad_versions: set[str] = set()
        self.fail_refreshes = 0
        self.stuck_versions: set[str] = set()
        self.refreshes: dict[str, list[dict[str, Any]]] = {}
        self.nodegroups: dict[tuple[str, str], dict[str, Any]] = {}
        self.updates: dict[str, dict[str, Any]] = {}
        self._invocations: dict[str, dict[str, dict[str, Any]]] = {}
        self._commands: dict[str, dict[str, Any]] = {}
        self._answers: dict[tuple[str, str], Answer] = {
            ("ec2", "EnableImageDeprecation"): self._deprecate,
            ("ssm", "GetParameter"): self._public_parameter,
            ("ssm", "DescribeInstanceInformation"): self._managed,
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
                "RequestedDateTime": _NOW,
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

    # -- Auto Scaling --------------------------------------------------------------------------------------------

    def _group(self, region: str, name: str) -> dict[str, Any]:
        client = self._client("autoscaling", region)
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not found:
            raise Refusal("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return dict(found[0])

    def _start_refresh(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["AutoScalingGroupName"]
        group = self._group(request.region, name)
        history = self.refreshes.setdefault(name, [])
        if history and history[0]["Status"] in ("Pending", "InProgress", "RollbackInProgress", "Cancelling"):
            raise Refusal("InstanceRefreshInProgress", "An Instance Refresh is already in progress")
        aliased = group.get("LaunchTemplate", {}).get("Version", "").startswith("$")
        if params.get("Preferences", {}).get("AutoRollback") and aliased:
            raise Refusal("ValidationError", "AutoRollback needs a numbered launch template version")
        refresh = {
            "InstanceRefreshId": f"refresh-{next(self._ids)}",
            "AutoScalingGroupName": name,
            "Status": "Pending",
            "PercentageComplete": 0,
            "DesiredConfiguration": params.get("DesiredConfiguration", {}),
            "Preferences": params.get("Preferences", {}),
            "StartTime": _NOW,
        }
        refresh["_version"] = self._version(request.region, params.get("DesiredConfiguration") or group)
        refresh["_fails"] = self.fail_refreshes > 0
        self.fail_refreshes = max(0, self.fail_refreshes - 1)
        history.insert(0, refresh)
        return {"InstanceRefreshId": refresh["InstanceRefreshId"]}

    def _version(self, region: str, source: dict[str, Any]) -> str:
        """The number that new instances have: what the template's default is when the refresh begins."""
        template = source.get("LaunchTemplate", {})
        version = str(template.get("Version", ""))
        if version != "$Default":
            return version
        client = self._client("ec2", region)
        found = client.describe_launch_templates(LaunchTemplateIds=[template["LaunchTemplateId"]])["LaunchTemplates"]
        return str(found[0]["DefaultVersionNumber"])

    def _replaced(self, region: str, name: str, version: str) -> None:
        """The group's instances have this version by now, also where the refresh did not get to its end."""
        for instance in self._group(region, name)["Instances"]:
            self._gaps.launched_from[instance["InstanceId"]] = version

    def _describe_refreshes(self, request: Request) -> dict[str, Any]:
        name = request.params["AutoScalingGroupName"]
        self._group(request.region, name)
        history = self.refreshes.get(name, [])
        for refresh in history[:1]:
            self._advance(request.region, name, refresh)
        wanted = request.params.get("InstanceRefreshIds")
        found = [r for r in history if not wanted or r["InstanceRefreshId"] in wanted]
        return {"InstanceRefreshes": [_public(r) for r in found]}

    def _advance(self, region: str, name: str, refresh: dict[str, Any]) -> None:
        template = refresh["DesiredConfiguration"].get("LaunchTemplate", {})
        status = refresh["Status"]
        if status == "InProgress" and refresh.get("_version") in self.stuck_versions:
            return
        if status == "Pending":
            refresh.update(Status="InProgress", PercentageComplete=50)
            self._replaced(region, name, refresh.get("_version", template.get("Version", "")))
        elif status == "InProgress" and (refresh.get("_fails") or refresh.get("_version") in self.bad_versions):
            back = refresh["Preferences"].get("AutoRollback")
            refresh.update(Status="RollbackInProgress" if back else "Failed", StatusReason="instances unhealthy")
        elif status == "RollbackInProgress":
            refresh.update(Status="RollbackSuccessful", PercentageComplete=100)
            self._replaced(region, name, self._version(region, self._group(region, name)))
        elif status == "Cancelling":
            refresh.update(Status="Cancelled")
        elif status == "InProgress":
            refresh.update(Status="Successful", PercentageComplete=100)
            if not template:
                return
            client = self._client("autoscaling", region)
            client.update_auto_scaling_group(
                AutoScalingGroupName=name,
                LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": template["Version"]},
            )
            # moto replaces no instance: those that are there speak of the new version from now on.
            instances = self._group(region, name)["Instances"]
            self._gaps.launched_from |= {each["InstanceId"]: template["Version"] for each in instances}

    def _cancel_refresh(self, request: Request) -> dict[str, Any]:
        history = self.refreshes.get(request.params["AutoScalingGroupName"], [])
        if not history or history[0]["Status"] not in ("Pending", "InProgress"):
            raise Refusal("ActiveInstanceRefreshNotFound", "no active refresh")
        history[0]["Status"] = "Cancelling"
        return {"InstanceRefreshId": history[0]["InstanceRefreshId"]}

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
            "createdAt": _NOW,
            "errors": [],
            "_group": group,
            "_looks": 0,
        }
        self.updates[update["id"]] = update
        return {"update": _public(update)}

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
            if version in self.bad_versions:
                error = {"errorCode": "NodeCreationFailure", "errorMessage": "nodes did not join", "resourceIds": ["x"]}
                update.update(status="Failed", errors=[error])
            else:
                update["status"] = "Successful"
                update["_group"]["launchTemplate"] = {**update["_group"]["launchTemplate"], "version": version}
        return {"update": _public(update)}


def _limit(text: str, of: int) -> int:
    """A number, or a percentage of the targets."""
    return max(of * int(text[:-1]) // 100, int(text != "0%")) if text.endswith("%") else int(text)


def _public(update: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in update.items() if not key.startswith("_")}

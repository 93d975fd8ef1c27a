"""Run one script on many instances over SSM Run Command, and bring its output home.

The agent on each instance fetches the command by itself: no ssh, no open port, and as many instances as there are.
Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.aws.session import Aws
from amigen.base.errors import AwsError, CouldNotCheckError, InputError
from amigen.connections.model import UnreachableError
from amigen.connections.ssm import begun, unpacked, wrapped
from amigen.publish.wait import Waiter

DOCUMENT = "AWS-RunShellScript"
# StatusDetails of an invocation that no script has run for (API_CommandInvocation).
_NOT_DELIVERED = {
    "Undeliverable": "its SSM agent is not online, or the instance is stopping",
    "DeliveryTimedOut": "its SSM agent did not fetch it in time",
    "Delivery Timed Out": "its SSM agent did not fetch it in time",
    "InvalidPlatform": "the command is not for its platform",
    "AccessDenied": "the caller may not run commands on it",
}
_DONE = ("Success", "Failed", "TimedOut", "Cancelled")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one instance answered.

    Attributes:
        platform: Of the spec; empty where it is not known.
        output: What the script printed; None where it could not be brought home.
        problem: Why there is no output; empty where there is.
    """

    instance: str
    region: str
    platform: str = ""
    output: bytes | None = None
    problem: str = ""

    def unproven(self, why: str, hint: str) -> CouldNotCheckError:
        """The instance has no verdict."""
        return CouldNotCheckError(f"{self.instance} in {self.region}: {why}", hint)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many at once, and after how many errors no more are asked; numbers or percentages.

    Patterns: MaxConcurrency and MaxErrors of
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
    """

    concurrency: str = "50"
    errors: str = "10%"
    timeout: int = 600

    def __post_init__(self) -> None:
        for option, text, pattern in (
            ("--max-concurrency", self.concurrency, r"[1-9][0-9]{0,6}|[1-9][0-9]?%|100%"),
            ("--max-errors", self.errors, r"[1-9][0-9]{0,6}|0|[1-9]?[0-9]%|100%"),
        ):
            if not re.fullmatch(pattern, text):
                raise InputError(f"{option} {text!r} is neither a number nor a percentage", "such as 10 or 25%")

    @property
    def not_asked(self) -> str:
        """Why an instance has no answer where the command was stopped."""
        return f"was not asked: the command was stopped after more errors than --max-errors {self.errors}"


def run_script(
    aws: Aws,
    region: str,
    script: str,
    *,
    call: Call,
    waiter: Waiter,
    rate: Rate | None = None,
    instances: Sequence[str] = (),
    tag: tuple[str, str] | None = None,
) -> tuple[dict[str, Answer], bool]:
    """Run a script on instances by their ids, or on all with a tag.

    The script is one of POSIX sh, and changes nothing: a repeated SendCommand only looks twice.

    Returns:
        Instance -> its answer, and whether the command had more errors than it may: instances that are not among the
        answers were not asked then.

    Raises:
        CouldNotCheckError: The command did not get to its end.
        AwsError: A call failed.
    """
    limits = rate or Rate()
    where = ", ".join(instances) if instances else f"instances with {'='.join(tag or ())}"
    targets: dict[str, Any] = {"InstanceIds": list(instances)}
    if tag:
        targets = {"Targets": [{"Key": f"tag:{tag[0]}", "Values": [tag[1]]}]}
    answer = aws.call(
        call,
        region,
        where,
        DocumentName=DOCUMENT,
        Parameters={"commands": [wrapped(script, whole=True)], "executionTimeout": [str(limits.timeout)]},
        Comment="amigen: look at the node, change nothing",
        MaxConcurrency=limits.concurrency,
        MaxErrors=limits.errors,
        TimeoutSeconds=max(30, limits.timeout),
        **targets,
    )
    command = answer["Command"]["CommandId"]
    try:
        status = _await(aws, region, command, where, waiter)
    except BaseException:
        _cancel(aws, region, command, waiter)
        raise
    found = aws.pages(calls.LIST_COMMAND_INVOCATIONS, region, where, CommandId=command)
    answers = {item["InstanceId"]: _answer(aws, region, command, item, limits) for item in found}
    # "The value of MaxErrors or more command invocations shows a status of Failed" (API_Command, StatusDetails).
    return answers, status == "Failed"


def _await(aws: Aws, region: str, command: str, where: str, waiter: Waiter) -> str:
    """Wait for its end; how it ended."""

    def look() -> tuple[str | None, str]:
        found: dict[str, Any] = next(aws.pages(calls.LIST_COMMANDS, region, where, CommandId=command), {})
        seen = f"{found.get('CompletedCount', 0)} of {found.get('TargetCount', 0)} answered"
        status = str(found.get("Status"))
        return (status if status in _DONE else None), seen

    return waiter.until(f"{region}: checks on {where}", look)


def _cancel(aws: Aws, region: str, command: str, waiter: Waiter) -> None:
    """As far as it goes: what stopped the run is the error, and that the command goes on is said besides."""
    try:
        aws.call(calls.CANCEL_COMMAND, region, f"command {command}", CommandId=command)
    except AwsError as error:
        waiter.say(f"command {command} goes on until it ends by itself: {error.message}; {error.hint}")


def _answer(aws: Aws, region: str, command: str, item: dict[str, Any], limits: Rate) -> Answer:
    found = _output(aws, region, command, item, limits)
    output, problem = (None, found) if isinstance(found, str) else (found, "")
    return Answer(instance=item["InstanceId"], region=region, output=output, problem=problem)


def _output(aws: Aws, region: str, command: str, item: dict[str, Any], limits: Rate) -> bytes | str:
    """What the script printed on one instance, or why that could not be brought home."""
    instance = item["InstanceId"]
    details = item.get("StatusDetails") or item["Status"]
    if details == "Terminated":
        # "The parent command exceeded its MaxErrors limit and subsequent command invocations were canceled by the
        # system" (API_CommandInvocation, StatusDetails).
        return limits.not_asked
    if item["Status"] in ("TimedOut", "Cancelled"):
        return f"did not answer ({details}): is its SSM agent online?"
    if item["Status"] != "Success" and details in _NOT_DELIVERED:
        return f"the command did not reach it: {_NOT_DELIVERED[details]}"
    try:
        output = aws.call(
            calls.GET_COMMAND_INVOCATION, region, f"instance {instance}", CommandId=command, InstanceId=instance
        )
    except CallError as error:
        # The answer of one node: the others have theirs. Credentials, rate and AWS itself concern all of them.
        if error.concerns_all and error.code != "ThrottlingException":
            raise
        return f"its answer could not be fetched: {error.message}"
    code, stderr = output.get("ResponseCode"), output.get("StandardErrorContent", "")
    try:
        size, _, packed = begun(instance, output.get("StandardOutputContent", ""))
        if len(packed) < size:
            return "the output is cut off: Run Command keeps 24,000 characters"
        code, stdout, errors = unpacked(packed)
        if not code:
            return stdout
        stderr = errors.decode(errors="replace")
    except UnreachableError as error:
        if item["Status"] == "Success":
            return error.message
    last = stderr.strip().splitlines()[-1:]
    return ": ".join([f"the script ended with {code}", *last])

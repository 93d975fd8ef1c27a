"""AWS Systems Manager: `ssm://i-0123456789abcdef0?region=REGION&profile=PROFILE`.

Commands run as root through the document AWS-RunShellScript; no port has to be open. Needs the permissions
ssm:SendCommand and ssm:GetCommandInvocation. An answer has at most 24,000 characters of stdout and 8,000 of stderr (API
reference of GetCommandInvocation), so that output travels packed, and in parts where it does not fit.

`amigen.publish.run_command` sends one script, packed likewise, to all instances of a tag at once, at a rate that stops
when instances fail. It asks none of them for a second part.
"""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl

from amigen.aws import calls
from amigen.aws.answer import Fields
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.aws.session import Aws, AwsOptions, configured_region
from amigen.base.errors import AwsError, InputError
from amigen.base.gzipped import gunzip, gzip
from amigen.base.waiting import attempts
from amigen.connections.model import INSTANCE, Connection, Target, UnreachableError

# Of the 24,000, beside the first line; characters are bytes here, because all of it is ASCII.
PART = 23_500
# What amigen asks for has kilobytes; a few of gzip unpack to gigabytes.
MAX_OUTPUT = 16 << 20
# A longer command is packed too; what a request may hold is not documented.
_LONG = 2_000
_ENDED = ("Success", "Failed", "Cancelled", "TimedOut")
_HEAD = re.compile(r"amigen ([0-9]{1,9}) (/[A-Za-z0-9_./-]+)\n")

# Keeps code, stdout and stderr in a private folder, and prints the first part; the folder goes with the last part.
_WRAP = """\
umask 077
folder=$(mktemp -d) || exit 97
COMMAND >"$folder/out" 2>"$folder/err" </dev/null
code=$?
{ echo "$code"; gzip -c "$folder/out" | base64 -w 0; echo; gzip -c "$folder/err" | base64 -w 0; } >"$folder/answer"
size=$(wc -c <"$folder/answer")
printf 'amigen %s %s\\n' "$size" "$folder"
head -c PART "$folder/answer"
[ "$size" -gt PART ] || rm -rf "$folder"
"""
# For who asks for no second part. The code counts for MaxErrors of Run Command.
_ONLY_PART = 'rm -rf "$folder"\nexit "$code"\n'


class SessionManager(Connection):
    """Scripts run through Session Manager's agent."""

    form = "ssm://i-INSTANCE[?region=REGION&profile=PROFILE]"

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        query = dict(parse_qsl(url.query))
        if not INSTANCE.fullmatch(url.netloc) or set(query) - {"region", "profile"}:
            raise InputError(f"{text}: not a Session Manager target", "write ssm://i-...?region=REGION&profile=PROFILE")
        region, profile = query.get("region", ""), query.get("profile", "")
        return Target(text=text, kind="ssm", name=url.netloc, region=region, profile=profile)

    @cached_property
    def aws(self) -> Aws:
        """The calls. Many hosts at once run into the API's rate."""
        return Aws(AwsOptions(profile=self.target.profile or None, patient=True))

    def _call(self, call: Call, **params: Any) -> Fields:
        region = self.target.region or configured_region(self.aws.profile)
        if not region:
            raise UnreachableError("Session Manager: you must specify a region")
        return self.aws.call(call, region, f"instance {self.target.name}", **params)

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        name = self.target.name
        size, folder, answer = begun(name, self._send(wrapped(script)))
        while len(answer) < size:
            part = self._send(next_part(folder, len(answer), size))
            if not part:
                raise UnreachableError(f"{name}: the answer ends after {len(answer)} of {size} characters")
            answer += part
        code, stdout, stderr = unpacked(answer)
        return subprocess.CompletedProcess(script, code, stdout, stderr)

    def _send(self, script: str) -> str:
        """Run a script to its end and return its stdout, as far as the API gives it."""
        try:
            sent = self._call(
                calls.SEND_COMMAND,
                InstanceIds=[self.target.name],
                DocumentName="AWS-RunShellScript",
                Comment="amigen verify",
                TimeoutSeconds=max(30, min(int(self.options.seconds), 600)),
                Parameters={"commands": [script], "executionTimeout": [str(int(self.options.seconds))]},
            )
            found = self._wait(sent["Command"]["CommandId"])
        except AwsError as error:
            failed = UnreachableError(f"Session Manager: {error.message}")
            failed.hint = error.hint
            if isinstance(error, CallError) and error.code == "InvalidInstanceId":
                failed.hint = "does its agent run, and may its role use Session Manager?"
            raise failed from None
        # Our scripts end with 0, so that anything else says that they did not run.
        if found["Status"] != "Success":
            said = found.get("StandardErrorContent", "").strip()[-300:]
            status = found.get("StatusDetails", found["Status"])
            raise UnreachableError(f"Session Manager, {self.target.name}: {status} {said}".strip())
        return str(found["StandardOutputContent"])

    def _wait(self, command_id: str) -> Fields:
        status = "Pending"
        for _ in attempts(seconds=self.options.seconds + 60, every=0.5):
            try:
                found = self._call(calls.GET_COMMAND_INVOCATION, CommandId=command_id, InstanceId=self.target.name)
            except CallError as error:
                if error.code != "InvocationDoesNotExist":  # for a moment after SendCommand
                    raise
                continue
            status = found["Status"]
            if status in _ENDED:
                return found
        late = f"the command is {status} after {self.options.seconds:.0f} s"
        raise UnreachableError(f"Session Manager, {self.target.name}: {late}")


CONNECTION = SessionManager


def wrapped(command: str, *, whole: bool = False) -> str:
    """The script that runs a command and packs what it printed.

    Args:
        command: Of POSIX sh.
        whole: Its first part is all that is asked for, and it ends with the command's code; else with 0.
    """
    if len(command) > _LONG:
        packed = base64.b64encode(gzip(command.encode("utf-8", "surrogateescape"))).decode()
        run = f'printf %s {packed} | base64 -d | gzip -d >"$folder/run" && /bin/sh "$folder/run"'
    else:
        run = f"/bin/sh -c {shlex.quote(command)}"
    script = _WRAP.replace("COMMAND", f"{{ {run}; }}").replace("PART", str(PART))
    return script + _ONLY_PART if whole else script


def begun(name: str, first: str) -> tuple[int, str, str]:
    """Characters of the whole answer, the folder where it is, and its first part, out of what a wrapped script printed.

    Raises:
        UnreachableError: The instance `name` printed something else, or the answer is too long.
    """
    match = _HEAD.match(first)
    if not match:
        raise UnreachableError(f"{name} answered something else than our command: {first[:200]!r}")
    size = int(match[1])
    if size > MAX_OUTPUT:
        raise UnreachableError(f"{name}: its answer is too long ({size} characters)")
    return size, match[2], first[match.end() :]


def next_part(folder: str, offset: int, size: int) -> str:
    """The script that prints the next part of an answer, and after the last removes it."""
    quoted = shlex.quote(folder)
    last = "" if offset + PART < size else f"; rm -rf {quoted}"
    return f"tail -c +{offset + 1} {quoted}/answer | head -c {PART}{last}"


def unpacked(answer: str) -> tuple[int, bytes, bytes]:
    """Code, stdout and stderr of a whole answer.

    Raises:
        UnreachableError: It is not one.
    """
    try:
        code, stdout, stderr = answer.split("\n")
        streams = [gunzip(base64.b64decode(part, validate=True), MAX_OUTPUT) for part in (stdout, stderr)]
        return int(code), streams[0], streams[1]
    except ValueError as error:
        raise UnreachableError(f"an answer that cannot be unpacked: {error}") from None

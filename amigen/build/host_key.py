"""The builder's ssh host key, and the way to it through a bastion.

Packer accepts any host key. amigen's own connections accept only the keys that EC2's console output shows, and they log
in with a key that Packer has put on the machine that answered it. So Packer was answered by the builder itself: another
machine has not the builder's host key, and nobody can pass Packer's login on to the builder (ssh signs each login for
one connection: RFC 4252, section 7).
"""

from __future__ import annotations

import base64
import re
import shlex
from pathlib import Path

from amigen.aws import build_calls as calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import BuildError, ToolError
from amigen.base.waiting import wait_for
from amigen.spec.model import Bastion
from amigen.vm.ssh import HOST_KEY_NAME, SshTarget

# Without Nitro, EC2 posts the output some minutes after the start
# (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshoot-unreachable-instance.html).
_SECONDS = 600
_POLL_SECONDS = 10.0
_TRIES = 3
# cloud-init's module keys_to_console; a line of the kernel may come between.
_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{60,}={0,2}")


def host_keys(console: str) -> list[str]:
    """The host keys in a console output, `TYPE BASE64`; of several boots those of the last one."""
    blocks = _BLOCK.findall(console)
    return [key for key in _KEY.findall(blocks[-1]) if _whole(key)] if blocks else []


def _whole(key: str) -> bool:
    """Whether no other line cut the key: strings with their lengths, of which the first is the type (RFC 4253, 6.6)."""
    kind, _, text = key.partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    end, parts = 0, []
    while end < len(blob):
        size = int.from_bytes(blob[end : end + 4])
        parts.append(blob[end + 4 : end + 4 + size])
        end += 4 + size
    return end == len(blob) and parts[0] == kind.encode()


def write_known_hosts(aws: Aws, region: str, instance: str, path: Path) -> None:
    """Write the host keys of the builder's console output to a file as ssh reads it.

    Raises:
        AwsError: The call failed.
        BuildError: The output shows no host key.
    """
    found = wait_for(
        lambda: host_keys(_console_output(aws, region, instance)) or None, seconds=_SECONDS, every=_POLL_SECONDS
    )
    if found is None:
        raise BuildError(
            f"the console output of builder {instance} shows no ssh host key: nothing says that it was this builder"
            " that answered ssh",
            "use aws.communicator: session-manager, or an image whose cloud-init prints its host keys;"
            " aws.builder.acceptAnyHostKey: true does without",
        )
    path.write_text("".join(f"{HOST_KEY_NAME} {key}\n" for key in found), encoding="ascii")


def require_builder(target: SshTarget, instance: str) -> None:
    """A login with the key that Packer has put there, on a machine that has one of the known host keys.

    Raises:
        BuildError: Another machine answers, Packer has put the key on another one, or nobody answers.
    """
    said = ""
    for _ in range(_TRIES):
        try:
            target.run("true", timeout=60)
            return
        except ToolError as error:
            said = error.message
        if "verification failed" in said or "Permission denied" in said:
            raise BuildError(
                f"{target.host} is not builder {instance}, or Packer was connected to another machine: {said}",
                "somebody on the way may answer in its place: use aws.communicator: session-manager",
            )
    raise BuildError(f"builder {instance}: {said}", "see aws.builder: sshInterface, bastion")


def _console_output(aws: Aws, region: str, instance: str) -> str:
    what = f"builder {instance}"
    try:
        answer = aws.call(calls.GET_CONSOLE_OUTPUT, region, what, InstanceId=instance, Latest=True)
    except CallError as error:
        # Only instances with Nitro have the latest output; others what EC2 has posted so far.
        if error.code != "UnsupportedOperation":
            raise
        answer = aws.call(calls.GET_CONSOLE_OUTPUT, region, what, InstanceId=instance)
    # botocore has decoded it (botocore.handlers.decode_console_output).
    return str(answer.get("Output", ""))


def bastion_command(bastion: Bastion, key: str | None) -> str:
    """The `ProxyCommand` of ssh through a bastion; its host key must be in the user's `known_hosts`.

    Args:
        key: File with the private key for it; None: the keys of the ssh agent.
    """
    identity = ["-i", str(Path(key).expanduser().absolute()), "-oIdentitiesOnly=yes"] if key else []
    words = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", *identity, "-p", str(bastion.port)]
    words += ["-l", bastion.user]
    # `%` begins a token (ssh_config(5), TOKENS).
    return f"{shlex.join(words).replace('%', '%%')} -W '[%h]:%p' -- {shlex.quote(bastion.host)}"

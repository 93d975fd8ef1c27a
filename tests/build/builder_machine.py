"""A real machine behind moto: when an instance is launched there, a VM boots with that instance's user data
and key pair.

moto keeps records and runs nothing. This watches it, boots the built-in Debian root for the builder that is launched,
on a port that is known beforehand, boots it again when it reboots itself, and ends it when the instance is stopped or
terminated. It does not prove EC2's networking, its metadata service or that the AMI holds what the VM's disk does.
"""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from amigen.platforms import PLATFORMS
from amigen.vm import Base, Machine

_ALIVE = ("pending", "running")


class BuilderMachine:
    """Use it as a context manager around a build.

    Args:
        port: Where the builder's ssh will be.
        consoles: Gets the file with the serial console of each builder, by its instance id.
    """

    def __init__(self, ec2: Any, base: Base, work: Path, port: int, consoles: dict[str, Path]) -> None:
        self.ec2, self.base, self.work = ec2, base, work
        self.user = PLATFORMS["debian-12"].login_user
        self.port, self.consoles = port, consoles
        self.instance = ""
        self.user_data = b""
        self.boots = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> BuilderMachine:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(300)
        if self.error is not None:
            raise self.error

    def _watch(self) -> None:
        """The machine lives and dies in this thread."""
        try:
            while not self._end.wait(1):
                found = self._builder()
                if found is not None:
                    self._run(found)
        except Exception as error:
            self.error = error

    def _builder(self) -> dict[str, Any] | None:
        answer = self.ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": list(_ALIVE)}])
        found = [i for r in answer["Reservations"] for i in r["Instances"] if i["InstanceId"] != self.instance]
        return found[0] if found else None

    def _run(self, instance: dict[str, Any]) -> None:
        self.instance = instance["InstanceId"]
        told = self.ec2.describe_instance_attribute(InstanceId=self.instance, Attribute="userData")
        self.user_data = base64.b64decode(told["UserData"].get("Value", ""))
        work = self.work / self.instance
        work.mkdir()
        # EC2 gives the public key of the pair to the instance by its metadata.
        pairs = self.ec2.describe_key_pairs(KeyNames=[instance["KeyName"]], IncludePublicKey=True)["KeyPairs"]
        (work / "pair.pub").write_text(pairs[0]["PublicKey"])
        machine = Machine(
            self.base.image,
            work=work,
            user=self.user,
            # Debian's AMIs have another user than its images for other places.
            user_data=(self.user_data or b"#cloud-config\n") + f"user: {self.user}\n".encode(),
            instance_id=self.instance,
            ssh_port=self.port,
            key=work / "pair",
        )
        self.consoles[self.instance] = machine.console
        with machine:
            self.boots = 1
            while self._alive() and not self._end.wait(1):
                if not machine.running:
                    # It rebooted itself: QEMU ends then, and starts anew.
                    machine.start()
                    self.boots += 1
            time.sleep(0.1)

    def _alive(self) -> bool:
        answer = self.ec2.describe_instances(InstanceIds=[self.instance])
        return answer["Reservations"][0]["Instances"][0]["State"]["Name"] in _ALIVE

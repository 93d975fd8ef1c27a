"""The whole way to an AMI: the real amazon-ebs builder, moto in the place of EC2, and a real VM as the builder.

It does not prove EC2 itself, nor that the AMI holds the VM's disk: moto's AMI is a record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from amigen.vm import built_in_base
from tests.build.builder_machine import BuilderMachine
from tests.publish.stand_in import moto
from tests.publish.stand_in.gateway import Gateway
from tests.publish.world import KEYS

pytestmark = pytest.mark.slow

# An image of moto's own, as every account has; what runs is the VM.
SOURCE = "ami-076f415166b04f5fe"
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: web
kubernetesVersion: "1.34"
platforms: [debian-12]
aws:
  region: us-east-1
  copyRegions: [eu-west-1]
  share: {accounts: ["210987654321"]}
  encryption: {enabled: false}
  tags: {Team: net}
  sourceAmis: {debian-12: {id: %s}}
"""
REGIONS = ("us-east-1", "eu-west-1")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account of moto's, with a folder for one user's work."""

    url: str
    gateway: Gateway
    folder: Path
    machine: BuilderMachine

    def ec2(self, region: str = "us-east-1") -> Any:
        return boto3.client("ec2", endpoint_url=self.url, region_name=region)

    def command(self, *more: str) -> list[str]:
        """`amigen build`, told where the VM's ssh is: the one thing that moto's instance cannot say."""
        reached = ["--packer-var", "builder_address=127.0.0.1", "--packer-var", f"builder_port={self.machine.port}"]
        endpoint = ["--endpoint-url", self.gateway.url]
        return [sys.executable, "-m", "amigen", "build", "spec.yaml", "--target", "aws", *endpoint, *reached, *more]

    def build(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*more), cwd=self.folder, capture_output=True, text=True, timeout=3600, check=False
        )

    def images(self, region: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ec2(region).describe_images(Owners=["self"])["Images"]
        return found

    def require_nothing_left(self) -> None:
        """No living instance, no security group of Packer's, no key pair, no scratch folder."""
        ec2 = self.ec2()
        states = [i["State"]["Name"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        assert set(states) <= {"terminated"}
        assert [g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
        assert ec2.describe_key_pairs()["KeyPairs"] == []
        assert [*self.folder.glob(f"amigen-{os.getuid()}/build-*")] == []


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name, value in {**KEYS, "PYTHONPATH": str(Path(__file__).parents[2])}.items():
        monkeypatch.setenv(name, value)
    # With ipvsadm there already, as EKS's own images have it: no package mirror is needed.
    base = built_in_base("debian-12", "x86_64", log=print, packages=("ipvsadm",))
    with tempfile.TemporaryDirectory(prefix="ab-", dir="/tmp") as name, moto.moto_server(public_images=True) as url:
        folder = Path(name)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "spec.yaml").write_text(SPEC % SOURCE)
        ec2 = boto3.client("ec2", endpoint_url=url, region_name="us-east-1")
        with Gateway(moto=url) as gateway, BuilderMachine(ec2, base, folder) as machine:
            yield Account(url=url, gateway=gateway, folder=folder, machine=machine)


def test_an_ami_is_built_proven_copied_and_shared(account: Account) -> None:
    done = account.build()
    assert done.returncode == 0, done.stdout + done.stderr
    [image] = account.images("us-east-1")
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["Team"], tags["amigen/name"], tags["amigen/verified"]) == ("net", "web", "true")
    [copy] = account.images("eu-west-1")
    record = json.loads((account.folder / "amigen-build/web/record.json").read_text())
    [built] = record["images"]
    assert built["amis"] == {"us-east-1": image["ImageId"], "eu-west-1": copy["ImageId"]}
    assert built["sourceImage"] == SOURCE
    assert account.machine.boots == 2, "it rebooted before it was checked"
    assert b"ssh-ed25519 " in account.machine.user_data
    account.require_nothing_left()

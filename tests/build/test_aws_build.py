"""The whole way to an AMI: the real amazon-ebs builder, moto in the place of EC2, and a real VM as the builder.

It does not prove EC2 itself, nor that the AMI holds the VM's disk: moto's AMI is a record.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from amigen.base.interrupt import descendants, tell
from amigen.build.record import ImageRecord, write_record
from amigen.plan.make import plan_images
from amigen.spec.load import load_spec
from amigen.vm import built_in_base
from tests.build.builder_machine import BuilderMachine
from tests.build.processes import started
from tests.build.test_record import RECORD
from tests.ports import free_port
from tests.publish.stand_in import moto
from tests.publish.stand_in.gateway import Gateway
from tests.publish.stand_in.wire import Refusal, Request
from tests.publish.world import KEYS
from tests.real.packer import packer_environment

pytestmark = pytest.mark.slow

# An image of moto's own, as every account has; what runs is the VM.
SOURCE = "ami-076f415166b04f5fe"
ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-exampleorgid"
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: web
kubernetesVersion: "1.34"
platforms: [debian-12]
aws:
  region: us-east-1
  copyRegions: [eu-west-1, eu-west-2]
  share:
    accounts: ["210987654321"]
    organizations: ["%s"]
  encryption: {kmsKeyId: alias/images}
  deprecateAfterDays: 90
  tags: {Team: net}
  sourceAmis: {debian-12: {id: %s}}
"""
# As on hardened images: the builder's own user data mounts it at each boot, and the bootstrap sees it.
NOEXEC_TMP = """\
  builder:
    userData: |
      #cloud-config
      bootcmd: [[mount, -t, tmpfs, -o, "noexec,nosuid,nodev", tmpfs, /tmp]]
hooks:
  before: [{name: tmp-is-noexec, run: always, script: "findmnt -no OPTIONS /tmp | grep -qw noexec"}]
"""
RUNNING = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account of moto's, with a folder for one user's work."""

    url: str
    gateway: Gateway
    folder: Path
    port: int

    def ec2(self, region: str = "us-east-1") -> Any:
        return boto3.client("ec2", endpoint_url=self.url, region_name=region)

    def command(self, *more: str) -> list[str]:
        """`amigen build`, told where the VM's ssh is: the one thing that moto's instance cannot say."""
        reached = ["--packer-var", "builder_address=127.0.0.1", "--packer-var", f"builder_port={self.port}"]
        return [sys.executable, "-m", "amigen", "build", "spec.yaml", "--target", "aws", *reached, *more]

    @property
    def given(self) -> dict[str, Any]:
        """How it is run: its notes of builds that run go to the folder, and not to the user's cache.

        That the environment names the address of AWS is one of the two ways; `build` goes the other.
        """
        own = {"XDG_CACHE_HOME": str(self.folder / "cache"), "AWS_ENDPOINT_URL": self.gateway.url}
        return {"cwd": self.folder, "env": {**os.environ, **packer_environment(), **own}}

    def build(self, *more: str) -> subprocess.CompletedProcess[str]:
        given = self.given
        url = given["env"].pop("AWS_ENDPOINT_URL")
        command = self.command("--endpoint-url", url, *more)
        return subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False, **given)

    def images(self, region: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ec2(region).describe_images(Owners=["self"])["Images"]
        return found

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "amigen-build/web/record.json").read_text())
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
    with tempfile.TemporaryDirectory(prefix="ab-", dir="/tmp") as name, moto.moto_server(public_images=True) as url:
        monkeypatch.setenv("TMPDIR", name)
        (Path(name) / "spec.yaml").write_text(SPEC % (ORGANIZATION, SOURCE))
        with Gateway(moto=url) as gateway:
            yield Account(url=url, gateway=gateway, folder=Path(name), port=free_port())


@pytest.fixture
def machine(account: Account) -> Iterator[BuilderMachine]:
    # With ipvsadm there already, as EKS's own images have it: no package mirror is needed.
    base = built_in_base("debian-12", "x86_64", log=print, packages=("ipvsadm",))
    with BuilderMachine(account.ec2(), base, account.folder, account.port, account.gateway.model.consoles) as found:
        yield found


def refuse_copies(request: Request) -> None:
    """eu-west-1 takes no copies."""
    if (request.operation, request.region) == ("CopyImage", "eu-west-1"):
        raise Refusal("UnauthorizedOperation", "not here, said by the test")


def test_an_ami_is_built_proven_copied_and_shared(account: Account, machine: BuilderMachine) -> None:
    """One region refuses its copy at first: the image and the other region stay, and only what failed is done again."""
    with (account.folder / "spec.yaml").open("a") as spec:
        spec.write(NOEXEC_TMP)
    account.gateway.authority = refuse_copies
    first = account.build()
    assert first.returncode == 10, first.stdout + first.stderr
    assert "eu-west-1: not yet: " in first.stdout
    assert "--resume" in first.stdout
    assert machine.boots == 2, "it rebooted before it was checked"
    assert b"noexec" in machine.user_data
    assert "the builder has the ssh host key that the console output of i-" in first.stderr
    [image] = account.images("us-east-1")
    [copy] = account.images("eu-west-2")
    [built] = account.record()["images"]
    assert built["amis"] == {"us-east-1": image["ImageId"], "eu-west-2": copy["ImageId"]}
    assert set(built["regionErrors"]) == {"eu-west-1"}
    assert built["sourceImage"] == SOURCE
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["Team"], tags["amigen/name"], tags["amigen/verified"]) == ("net", "web", "true")
    account.require_nothing_left()
    proven_first(account.gateway.calls)
    as_the_spec_says(account, image, copy)

    account.gateway.authority = None
    account.gateway.calls.clear()
    second = account.build("--resume")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "is built already" in second.stderr
    [late] = account.images("eu-west-1")
    [built] = account.record()["images"]
    assert (built["amis"]["eu-west-1"], built["regionErrors"]) == (late["ImageId"], {})
    for region, image_id in built["amis"].items():
        given = account.ec2(region).describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
        assert [e["UserId"] for e in given["LaunchPermissions"] if "UserId" in e] == ["210987654321"], region
    done = [(call.operation, call.region) for call in account.gateway.calls]
    assert [region for operation, region in done if operation == "CopyImage"] == ["eu-west-1"]
    assert {operation for operation, _region in done} & {"RunInstances", "CreateImage"} == set()


def image_of_an_earlier_build(account: Account) -> str:
    """An AMI, and the record that says that its checks have passed."""
    ec2 = account.ec2()
    instance = ec2.run_instances(ImageId=SOURCE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    image_id: str = ec2.create_image(InstanceId=instance, Name="web-debian-12-x86_64-b1")["ImageId"]
    ec2.terminate_instances(InstanceIds=[instance])
    [plan] = plan_images(load_spec(account.folder / "spec.yaml"))
    image = ImageRecord(
        platform="debian-12",
        architecture="x86_64",
        outcome="built",
        verified=True,
        region="us-east-1",
        image_id=image_id,
        amis={"us-east-1": image_id},
    )
    record = msgspec.structs.replace(RECORD, name="web", spec_digest=plan.digest, images=(image,))
    write_record(record, account.folder / "amigen-build/web/record.json")
    return image_id


def test_ctrl_c_while_it_copies_hides_no_image(account: Account) -> None:
    """What is there is said and recorded; --resume does the rest, and no copy twice."""
    image_id = image_of_an_earlier_build(account)
    copying = threading.Event()
    account.gateway.before = lambda request: copying.set() if request.operation == "CopyImage" else None
    with started(account.command("--resume"), **account.given) as process:
        assert copying.wait(300)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert f"debian-12/x86_64: {image_id} in us-east-1" in said
    assert "us-east-1: not yet: interrupted" in said
    assert "record: amigen-build/web/record.json" in said
    assert "next: amigen build spec.yaml --target aws --resume" in said
    assert "Traceback" not in said
    [image] = account.record()["images"]
    assert (image["imageId"], image["outcome"], image["verified"]) == (image_id, "built", True)

    account.gateway.before = None
    again = account.build("--resume")
    assert again.returncode == 0, again.stdout + again.stderr
    [image] = account.record()["images"]
    assert (sorted(image["amis"]), image["regionErrors"]) == (["eu-west-1", "eu-west-2", "us-east-1"], {})
    assert [len(account.images(region)) for region in ("eu-west-1", "eu-west-2")] == [1, 1]


def proven_first(calls: list[Request]) -> None:
    """No copy, no sharing and no tag of success before the image was there, and that was after the checks."""
    order = [call.operation for call in calls]
    made = order.index("CreateImage")
    for operation in ("CopyImage", "ModifySnapshotAttribute"):
        assert operation not in order[:made]
    for word in ("amigen/verified", "LaunchPermission"):
        assert min(n for n, call in enumerate(calls) if word in str(call.params)) > made


def as_the_spec_says(account: Account, image: dict[str, Any], copy: dict[str, Any]) -> None:
    """What AWS was asked for: IMDSv2, encryption, tags of snapshots, deprecation, the organization."""
    gateway = account.gateway
    [run] = gateway.named("RunInstances")
    [disk] = run.params["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["KmsKeyId"]) == (True, "alias/images")
    assert run.params["MetadataOptions"]["HttpTokens"] == "required"
    changes = [call.params for call in gateway.named("ModifyImageAttribute")]
    assert [c["ImdsSupport"]["Value"] for c in changes if "ImdsSupport" in c] == ["v2.0"]
    shared = [(c["ImageId"], each) for c in changes for each in c.get("LaunchPermission", {}).get("Add", ())]
    for image_id in (image["ImageId"], copy["ImageId"]):
        assert (image_id, {"OrganizationArn": ORGANIZATION}) in shared
    copied = {call.region: call.params for call in gateway.named("CopyImage")}
    assert {(c["Encrypted"], c["KmsKeyId"]) for c in copied.values()} == {(True, "alias/images")}
    for region, found in (("us-east-1", image), ("eu-west-2", copy)):
        snapshots = [m["Ebs"]["SnapshotId"] for m in found["BlockDeviceMappings"] if m.get("Ebs", {}).get("SnapshotId")]
        assert snapshots
        for snapshot in snapshots:
            tags = gateway.tags(region, snapshot)
            assert (tags["Team"], tags["amigen/name"], tags["amigen/verified"]) == ("net", "web", "true")
    ends = {call.params["ImageId"]: call.params["DeprecateAt"] for call in gateway.named("EnableImageDeprecation")}
    assert set(ends) == {image["ImageId"], copy["ImageId"]}
    finished = datetime.fromisoformat(account.record()["finishedAt"].replace("Z", "+00:00"))
    for end in ends.values():
        assert timedelta(days=89) < moment(end) - finished < timedelta(days=91)


def moment(found: Any) -> datetime:
    """As the wire's parser gives it: a time without its zone, or its text."""
    text = found.isoformat() if isinstance(found, datetime) else str(found)
    return datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=UTC)


def test_a_failing_check_leaves_no_ami(account: Account, machine: BuilderMachine) -> None:
    """A hook breaks what an earlier step made: it is seen after the reboot, before there is an image."""
    hook = "hooks: {after: [{name: break, script: 'echo ip_vs >/etc/modules-load.d/ipvs.conf'}]}\n"
    with (account.folder / "spec.yaml").open("a") as spec:
        spec.write(hook)
    done = account.build()
    assert done.returncode == 6, done.stdout + done.stderr
    assert "test_module_persisted[nf_conntrack]" in done.stderr
    assert "expected" in done.stderr
    assert machine.boots == 2
    assert [call.operation for call in account.gateway.calls if call.operation in ("CreateImage", "CopyImage")] == []
    assert account.images("us-east-1") == []
    assert not (account.folder / "amigen-build/web/record.json").exists()
    [record] = (account.folder / "amigen-build/web/builds").glob("*/record.json")
    [image] = json.loads(record.read_text())["images"]
    assert (image["outcome"], image["verified"], image["amis"]) == ("failed", False, {})
    account.require_nothing_left()


@contextmanager
def building(account: Account) -> Iterator[subprocess.Popen[str]]:
    """A build whose builder never answers, as far as its instance; nothing of a VM is needed for what follows."""
    with started(account.command(), **account.given) as process:
        deadline = time.monotonic() + 300
        while not account.ec2().describe_instances(Filters=RUNNING)["Reservations"]:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield process


def test_ctrl_c_leaves_nothing(account: Account) -> None:
    """While Packer waits for the builder's ssh."""
    with building(account) as process:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
    require_interrupted(account, process, said)


@pytest.mark.parametrize("operation", ["CreateSecurityGroup", "RunInstances"])
def test_a_signal_in_the_middle_of_a_call_leaves_nothing(account: Account, operation: str) -> None:
    """What AWS makes in that very moment is found by Packer, and removed."""
    reached = threading.Event()
    account.gateway.before = lambda request: reached.set() if request.operation == operation else None
    with started(account.command(), **account.given) as process:
        assert reached.wait(300), process.poll()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=300)
    require_interrupted(account, process, said, code=143)


def require_interrupted(account: Account, process: subprocess.Popen[str], said: str, code: int = 130) -> None:
    assert process.returncode == code, said
    assert "interrupted" in said
    assert account.images("us-east-1") == []
    account.require_nothing_left()


def test_packer_cleans_up_when_amigen_is_killed(account: Account) -> None:
    with building(account) as process:
        process.kill()
        process.communicate(timeout=300)
    deadline = time.monotonic() + 300
    while account.ec2().describe_instances(Filters=RUNNING)["Reservations"] or _groups(account) != ["default"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_the_next_build_cleans_up_after_both_were_killed(account: Account) -> None:
    with building(account) as process:
        # It must not see that Packer is gone, and begin to clean up.
        process.send_signal(signal.SIGSTOP)
        tell(descendants(process.pid), signal.SIGKILL)
        process.kill()
        process.communicate(timeout=300)
    assert account.ec2().describe_instances(Filters=RUNNING)["Reservations"], "nobody was there to end it"
    second = start_and_stop(account)
    assert "was killed; removed what it left in us-east-1: i-" in second
    account.require_nothing_left()


def start_and_stop(account: Account) -> str:
    """A second build, ended as soon as it has begun: it cleans up before it does anything else."""
    with started(account.command(), **account.given) as process:
        deadline = time.monotonic() + 300
        while not _second_began(account):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=300)[0]


def _second_began(account: Account) -> bool:
    return len(list((account.folder / "amigen-build/web/builds").glob("*"))) == 2


def _groups(account: Account) -> list[str]:
    return [group["GroupName"] for group in account.ec2().describe_security_groups()["SecurityGroups"]]

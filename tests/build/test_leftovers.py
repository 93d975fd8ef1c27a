"""What a build must not leave: of a killed one, in the account that it ran in; an AMI that is not as it must be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from amigen.aws.session import Aws, ec2_endpoint
from amigen.build.leftovers import Account, clean_up_interrupted_build, clean_up_killed_builds, find_account, noted
from tests.publish.world import KEYS

REGION = "us-east-1"
# Without the thousands of public images that every region would be filled with.
_QUICK = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """moto in this process: every role that is assumed leads into an account of its own."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "XDG_CACHE_HOME": str(tmp_path), **_QUICK}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("amigen.build.leftovers._POLL_SECONDS", 0.0)
    with mock_aws():
        yield


def enter(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the environment's credentials are those of a role there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, KEYS[name])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    role = f"arn:aws:iam::{account}:role/builder"
    keys = (
        boto3.Session()
        .client("sts", region_name=REGION)
        .assume_role(RoleArn=role, RoleSessionName="build")["Credentials"]
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])


def killed_build(account: Account) -> None:
    """An instance of a build, and the note of a process that was gone at once."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "amigen/build", "Value": "b1"}]}]
    ec2().run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags)
    child = os.fork()
    if child == 0:
        with noted("b1", REGION, account, spot=False):
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def ec2() -> Any:
    # A session of its own: boto3's own one keeps the credentials that it has seen first.
    return boto3.Session().client("ec2", region_name=REGION)


def states() -> list[str]:
    return [i["State"]["Name"] for r in ec2().describe_instances()["Reservations"] for i in r["Instances"]]


def clean(**given: Any) -> list[str]:
    said: list[str] = []
    client = Aws()
    account = find_account(client, REGION, **{"profile": None, "endpoint_url": None, **given})
    clean_up_killed_builds(client, account, said.append)
    return said


@pytest.mark.usefixtures("aws")
def test_another_account_does_not_forget_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enter("111111111111", monkeypatch)
    killed_build(Account(id="111111111111", profile="there"))

    enter("222222222222", monkeypatch)
    [said] = clean()
    assert "the killed build b1 may have left something in account 111111111111 (profile there), us-east-1" in said
    assert str(tmp_path) in said

    enter("111111111111", monkeypatch)
    assert states() == ["running"]
    [said] = clean()
    assert "the build b1 was killed; removed what it left in us-east-1: i-" in said
    assert states() == ["terminated"]
    assert clean() == []


@pytest.mark.usefixtures("aws")
def test_an_account_of_the_same_number_at_another_address_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins of AWS have all the same number."""
    enter("111111111111", monkeypatch)
    killed_build(Account(id="111111111111", endpoint_url="http://127.0.0.1:1"))
    [said] = clean()
    assert "account 111111111111 (endpoint http://127.0.0.1:1)" in said
    [said] = clean(endpoint_url="http://127.0.0.1:1")
    assert "was killed" in said


@pytest.mark.usefixtures("aws")
def test_what_packer_forgets_of_an_interrupted_build_is_removed() -> None:
    """An instance whose launch was interrupted, and an image that was not finished; a proven image stays."""
    tags = [{"Key": "amigen/build", "Value": "b1"}]
    launched = ec2().run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    instance = launched["Instances"][0]["InstanceId"]
    proven, cut = (ec2().create_image(InstanceId=instance, Name=name)["ImageId"] for name in ("proven", "cut"))
    ec2().create_tags(Resources=[proven, cut], Tags=tags)
    said: list[str] = []

    clean_up_interrupted_build(Aws(), REGION, "b1", frozenset({proven}), said.append, spot=False)

    (line,) = said
    assert line.startswith(f"removed what Packer left in {REGION}: {instance}, {cut}, snap-")
    assert [image["ImageId"] for image in ec2().describe_images(Owners=["self"])["Images"]] == [proven]
    state = ec2().describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state == "terminated"


@pytest.mark.usefixtures("aws")
def test_a_note_that_names_no_account_is_left(tmp_path: Path) -> None:
    note = tmp_path / "amigen/builds-on-aws/b1.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"build": "b1", "region": "us-east-1", "account": "1"}')
    assert clean() == [f"{note} is not a note of a build; remove it"]
    assert note.exists()


CONFIG = """\
[profile vpc]
services = own
[services own]
ec2 =
  endpoint_url = https://from.the.profile
"""


@pytest.mark.parametrize(
    ("given", "environment", "found"),
    [
        ({}, {}, None),
        ({}, {"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        ({}, {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_EC2": "http://ec2"}, "http://ec2"),
        ({}, {"AWS_ENDPOINT_URL_STS": "http://sts"}, None),
        ({"endpoint_url": "http://option"}, {"AWS_ENDPOINT_URL": "http://all"}, "http://option"),
        ({"profile": "vpc"}, {}, "https://from.the.profile"),
        ({}, {"AWS_ENDPOINT_URL": "http://all", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
    ],
)
def test_packer_gets_the_address_of_ec2_that_boto_finds(
    given: dict[str, str],
    environment: dict[str, str],
    found: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in {**KEYS, "AWS_CONFIG_FILE": str(tmp_path / "config"), **environment}.items():
        monkeypatch.setenv(name, value)
    assert ec2_endpoint(REGION, **{"profile": None, "endpoint_url": None, **given}) == found

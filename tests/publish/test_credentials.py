"""Credentials, profiles and addresses that do not work: each is one message with a way out, and no traceback."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.publish.stand_in.gateway import Fault, FaultKind
from tests.publish.world import World

SSO = """\
[profile sso]
sso_session = company
sso_account_id = 123456789012
sso_role_name = images
[sso-session company]
sso_region = eu-central-1
sso_start_url = https://example.awsapps.com/start
[profile half]
role_arn = arn:aws:iam::123456789012:role/images
source_profile = nowhere
[profile broken]
credential_process = /bin/false
[profile tries]
max_attempts = many
"""


@pytest.mark.parametrize(
    ("args", "environment", "code", "said"),
    [
        (("--profile", "sso"), {}, 10, "aws sso login"),
        (("--profile", "half"), {}, 10, "see ~/.aws/config"),
        (("--profile", "broken"), {}, 10, "no credentials: set --profile"),
        (("--profile", "nobody"), {}, 10, "The config profile (nobody) could not be found"),
        (("--profile", "tries"), {}, 14, "max_attempts"),
        (("--endpoint-url", "junk"), {}, 14, "see --endpoint-url and AWS_ENDPOINT_URL"),
        ((), {"AWS_ENDPOINT_URL": "junk"}, 14, "see --endpoint-url and AWS_ENDPOINT_URL"),
        (("--endpoint-url", "http://127.0.0.1:1"), {}, 10, "check the network, the proxy and --endpoint-url"),
        ((), {"AWS_MAX_ATTEMPTS": "junk"}, 14, "AWS_MAX_ATTEMPTS"),
    ],
)
def test_settings_that_do_not_work(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    environment: Mapping[str, str],
    code: int,
    said: str,
) -> None:
    (world.folder / "config").write_text(SSO)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(world.folder / "config"))
    monkeypatch.setenv("HOME", str(world.folder))
    if "--profile" in args:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_MAX_ATTEMPTS"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world.write_spec(copy_regions="")

    result = world.amigen("images", "list", *args)

    assert result.code == code, result.err
    assert said in result.err
    assert "hint:" in result.err
    assert "Traceback" not in result.err


ENDS: tuple[tuple[FaultKind, str], ...] = (
    ("expired", "the credentials have expired; renew them"),
    ("denied", "`amigen iam-policy SPEC` prints the policy"),
)
BREAKS: tuple[FaultKind, ...] = ("denied", "expired", "internal", "cut-after")


@pytest.mark.parametrize(("kind", "said"), ENDS)
def test_credentials_that_end_in_the_middle(world: World, kind: FaultKind, said: str) -> None:
    world.write_spec(copy_regions="")
    world.amigen("images", "list")
    position = world.gateway.positions()[0]
    world.gateway.start_counting()
    world.gateway.fault = Fault(at=position, kind=kind)

    result = world.amigen("images", "list")

    assert result.code == 10
    assert f"ec2:{position.operation} in eu-central-1" in result.err
    assert said in result.err


def test_no_secret_in_any_message(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither keys nor the session token, whatever goes wrong; moto's own answers do not know them."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-never-shown")
    world.write_spec()
    world.build()
    said = ""
    for fault in BREAKS:
        world.gateway.start_counting()
        world.publish("--dry-run")
        position = world.gateway.positions()[0]
        world.gateway.start_counting()
        world.gateway.fault = Fault(at=position, kind=fault)
        result = world.publish()
        world.gateway.fault = None
        assert result.code == 10
        said += result.out + result.err
    for secret in ("session-token-never-shown", os.environ["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in said


NO_REGION = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: ipvs-nodes
kubernetesVersion: "1.34"
platforms: [al2023]
"""


@pytest.mark.parametrize(
    "command",
    [
        ("images", "list"),
        ("images", "base"),
        ("images", "drift"),
        ("images", "prune"),
        ("rollback", "--dry-run"),
        ("fleet", "verify"),
        ("publish", "--dry-run"),
        ("build", "--target", "aws", "--dry-run"),
    ],
)
@pytest.mark.parametrize("by", ["AWS_REGION", "AWS_DEFAULT_REGION", "profile"])
def test_a_region_of_the_environment_that_the_spec_does_not_name(
    world: World, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], by: str
) -> None:
    """Everybody's AWS tools go there, and amigen would go to the spec's default: said, and nothing is called."""
    world.spec_path.write_text(NO_REGION)
    if by == "profile":
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        (world.folder / "config").write_text("[profile west]\nregion = us-west-2\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(world.folder / "config"))
        command = (*command, "--profile", "west")
    else:
        monkeypatch.setenv(by, "us-west-2")

    result = world.amigen(*command)

    assert result.code == 13, result.out + result.err
    assert "names no aws.region, so it is us-east-1; the environment or profile says us-west-2" in result.err
    assert "aws: {region: us-west-2}" in result.err
    assert world.gateway.calls == []


def test_no_region_anywhere_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.spec_path.write_text(NO_REGION)
    same = world.amigen("images", "list")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    none = world.amigen("images", "list")
    policy = world.amigen("iam-policy", "--for", "images")

    assert (same.code, none.code, policy.code) == (0, 0, 0), same.err + none.err
    assert "aws.region" not in same.err
    assert "note: aws.region is not in the spec, nor a region in the environment: us-east-1" in none.err
    assert "note: aws.region is not in the spec: us-east-1" in policy.err


def test_a_role_is_assumed_in_the_region_of_the_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No region in the environment or the profile; the spec's is enough."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    world.write_spec()

    result = world.amigen("images", "list", "--role-arn", "arn:aws:iam::123456789012:role/images")

    assert result.code == 0, result.err
    assert [call.region for call in world.gateway.named("AssumeRole")] == ["eu-central-1"]

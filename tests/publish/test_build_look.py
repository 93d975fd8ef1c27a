"""`build --target aws --dry-run`: it asks AWS what the build would ask first, under the printed policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from amigen.publish.policy import Scope, policy
from amigen.spec.load import load_spec
from tests.build.stand_in_packer import stand_in_packer
from tests.publish.authority import ACCOUNT, Authority
from tests.publish.stand_in.wire import Request, Response, read_response, write_response
from tests.publish.world import BUILD_REGION, Result, World

EKS = "/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"


@pytest.fixture
def base(world: World) -> str:
    world.write_spec()
    image = world.make_image("amazon-eks-node-al2023-x86_64-standard-1.34-v20261101", {})
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = image
    return image


def dry_run(world: World, *more: str) -> Result:
    packer = str(stand_in_packer(world.folder, "exit 1"))
    world.gateway.authority = Authority(
        policy(load_spec(world.spec_path), ["build"], Scope(account=ACCOUNT)), world.gateway
    )
    return world.amigen("build", "--target", "aws", "--dry-run", "--packer", packer, *more)


def test_it_names_account_and_base(world: World, base: str) -> None:
    text, document = dry_run(world), dry_run(world, "--output", "json")

    assert (text.code, document.code) == (0, 0), text.err + document.err
    assert f"from the AMI that {EKS} names: {base} now" in text.out
    assert f"account {ACCOUNT}" in text.err
    assert [each["base"] for each in document.json["images"]] == [base]
    assert document.json["errors"] == []
    assert not (Path("amigen-build") / "ipvs-nodes").exists()


def test_offline_asks_nothing(world: World, base: str) -> None:
    result = dry_run(world, "--offline")

    assert result.code == 0, result.err
    assert world.gateway.calls == []


def test_without_credentials_it_is_no_empty_success(world: World, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    result = dry_run(world, "--output", "json")

    assert result.code == 10
    assert "no credentials" in result.json["errors"][0]["hint"]
    assert "redentials" in result.json["images"][0]["problem"]


def test_a_base_that_is_not_there(world: World, base: str) -> None:
    world.gateway.model.public_parameters.clear()

    result = dry_run(world)

    assert result.code == 14
    assert "al2023/x86_64: cannot be built: no base image for al2023/x86_64 in eu-central-1" in result.out


def test_a_base_whose_root_volume_is_larger(world: World, base: str) -> None:
    def larger(request: Request, response: Response) -> Response:
        if request.operation != "DescribeImages":
            return response
        found = read_response(request, response)
        for image in found["Images"]:
            for disk in image["BlockDeviceMappings"]:
                disk["Ebs"]["VolumeSize"] = 40
        return write_response(request, found)

    world.gateway.spoil = larger

    result = dry_run(world)

    assert result.code == 14
    assert f"aws.rootVolume.sizeGiB is 20, and the root volume of the base image {base} has 40 GiB" in result.err


@pytest.mark.parametrize(
    ("aws", "said"),
    [("subnetId: subnet-0123456789abcdef0", "there is no subnet subnet-0123456789abcdef0 in eu-central-1"),
     ("subnetId: {subnet}\nvpcId: vpc-0123456789abcdef0", "is in vpc-"),
     ("subnetId: {subnet}\nbuilder: {sshInterface: ipv6}", "does not assign IPv6 addresses"),
     ("subnetId: {subnet}", "")],
)  # fmt: skip
def test_the_subnet(world: World, base: str, aws: str, said: str) -> None:
    subnet = world.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    world.write_spec(aws.replace("{subnet}", subnet))

    result = dry_run(world)

    assert result.code == (14 if said else 0), result.err
    assert said in result.err


@pytest.mark.parametrize(("native", "code"), [(True, 0), (False, 14)])
def test_a_subnet_of_ipv6_alone_has_no_ipv4_address(world: World, base: str, native: bool, code: int) -> None:
    subnet = world.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    world.write_spec(f"subnetId: {subnet}\nbuilder: {{sshInterface: ipv6}}")

    def without(request: Request, response: Response) -> Response:
        if request.operation != "DescribeSubnets":
            return response
        found = read_response(request, response)
        more = {"AvailableIpAddressCount": 0, "AssignIpv6AddressOnCreation": True, "Ipv6Native": native}
        found["Subnets"] = [{**each, **more} for each in found["Subnets"]]
        return write_response(request, found)

    world.gateway.spoil = without

    result = dry_run(world)

    assert result.code == code, result.err
    assert ("has no free address" in result.err) != native

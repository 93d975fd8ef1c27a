"""Where the base image of a platform is looked up: pure, for each kind of source."""

from __future__ import annotations

from typing import Any

import pytest

from amigen.plan.source import Source, source_of
from tests.specs import spec

EKS = "/aws/service/eks/optimized-ami"
UBUNTU = "/aws/service/canonical/ubuntu"


def source(platform: str, architecture: str, version: str, **aws: Any) -> Source:
    image = spec(
        {"platforms": [platform], "architectures": [architecture], "kubernetesVersion": version, "aws": {**aws}}
    )
    return source_of(image, image.platforms[0], image.architectures[0])


@pytest.mark.parametrize(
    ("platform", "architecture", "version", "base", "parameter"),
    [
        ("al2023", "x86_64", "1.34", "eks", f"{EKS}/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"),
        ("al2023", "arm64", "1.33", "eks", f"{EKS}/1.33/amazon-linux-2023/arm64/standard/recommended/image_id"),
        ("al2023", "x86_64", "1.34", "plain", "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"),
        ("al2023", "arm64", "1.34", "plain", "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"),
        ("ubuntu-22.04", "x86_64", "1.32", "eks", f"{UBUNTU}/eks/22.04/1.32/stable/current/amd64/hvm/ebs-gp2/ami-id"),
        ("ubuntu-24.04", "arm64", "1.34", "eks", f"{UBUNTU}/eks/24.04/1.34/stable/current/arm64/hvm/ebs-gp3/ami-id"),
        ("ubuntu-22.04", "x86_64", "1.34", "plain", f"{UBUNTU}/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id"),
        ("ubuntu-24.04", "arm64", "1.34", "plain", f"{UBUNTU}/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"),
    ],
)
def test_public_parameters(platform: str, architecture: str, version: str, base: str, parameter: str) -> None:
    assert source(platform, architecture, version, baseImage=base) == Source(parameter=parameter)


def test_a_platform_without_a_parameter_is_found_by_owner_and_name() -> None:
    assert source("debian-12", "x86_64", "1.34", baseImage="plain") == Source(
        name_filter="debian-12-amd64-*", owners=("136693071363",)
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"id": "ami-0123456789abcdef0"}, Source(image="ami-0123456789abcdef0")),
        ({"ssmParameter": "/mine/{arch}/node"}, Source(parameter="/mine/amd64/node")),
        (
            {"filter": {"name": "golden-*", "owners": ["111122223333", "self"]}},
            Source(name_filter="golden-*", owners=("111122223333", "self")),
        ),
    ],
)
def test_what_the_spec_names_goes_first(given: dict[str, Any], wanted: Source) -> None:
    assert source("ubuntu-24.04", "x86_64", "1.34", sourceAmis={"ubuntu-24.04": given}) == wanted

"""A platform is one module: nothing of another platform is in what is rendered for it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from amigen.platforms import PLATFORMS, platform_of_os_image
from tests.specs import ROOT

SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: stone
kubernetesVersion: "1.34"
platforms: [granite-9]
architectures: [x86_64, arm64]
gate: true
packages: [{name: jq, platforms: [granite-9]}]
packageSources: {mirrors: {granite-9: {url: "https://mirror.example.com/granite"}}}
"""
# Registered before the spec's types are made from the registry, as a module of the package would be.
RENDER = """\
import sys
from amigen.platforms import PLATFORMS
from tests.platforms.made_up import PLATFORMS as made_up
PLATFORMS.update({fact.name: fact for fact in made_up})
from amigen import artifacts, json_schema, parse_spec
assert "granite-9" in str(json_schema())
for artifact in artifacts(parse_spec(sys.stdin.read())):
    print("===", artifact.path)
    print(artifact.content.decode("utf-8", "replace"))
"""
# Packer's builder and plugin for EC2, and EC2's own Session Manager agent, are of Amazon on every platform.
EC2 = re.compile(r"amazon-ebs|hashicorp/amazon|plugin-amazon|amazon/ssm|amazonaws\.com|amazon = \{|var/log/amazon")
AMAZON_LINUX = re.compile(r"amazon|amzn|al2023|ec2-user|nodeadm|/aws/service", re.IGNORECASE)


@pytest.fixture(scope="module")
def rendered() -> str:
    """All files of the folder, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER], input=SPEC, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_distribution_of_one_module_renders(rendered: str) -> None:
    """Its own key, user, image and kubelet unit are in what is rendered."""
    for own in (
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-granite-9",
        "granite 9",
        '"granite-9-aarch64-*"',
        '"123456789012"',
        "/etc/systemd/system/kubelet.service.d/",
        "=== granite-9/plan.json",
    ):
        assert own in rendered


def test_nothing_of_amazon_linux_in_it(rendered: str) -> None:
    """A key of Amazon in another distribution's repository would pass every check of the spec."""
    found = [line for line in rendered.splitlines() if AMAZON_LINUX.search(EC2.sub("", line))]

    assert found == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_is_complete(platform: str) -> None:
    """What its package manager needs, a source image, and where the facts come from."""
    fact = PLATFORMS[platform]

    assert fact.name == platform
    assert fact.source
    assert fact.keyring.startswith("/")
    assert set(fact.arch_names) == {"x86_64", "arm64"}
    assert bool(fact.suites and fact.components and fact.codename) == (fact.family == "apt")
    assert fact.ssm_plain or (fact.owner and fact.name_filter)
    assert bool(fact.joins_by) == bool(fact.ssm_eks) == bool(fact.min_kubernetes)


@pytest.mark.parametrize(
    ("os_image", "platform"),
    [
        ("Ubuntu 24.04.1 LTS", "ubuntu-24.04"),
        ("Amazon Linux 2023.6.20250115", "al2023"),
        ("Debian GNU/Linux 13 (trixie)", "debian-13"),
        ("Debian GNU/Linux 11 (bullseye)", None),
        ("Amazon Linux 2", None),
        ("", None),
    ],
)
def test_the_platform_of_a_node(os_image: str, platform: str | None) -> None:
    """A Node says the PRETTY_NAME of its os-release."""
    assert platform_of_os_image(os_image) == platform

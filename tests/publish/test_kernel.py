"""The kernel series of a base image, and what another one means."""

from __future__ import annotations

from typing import Any

import pytest

from amigen.images.kernel import Series, series_of_image, series_of_release, what_changes
from amigen.spec.values import Platform
from tests.specs import spec


@pytest.mark.parametrize(
    ("platform", "name", "series"),
    [
        ("al2023", "al2023-ami-2023.9.20251117.1-kernel-6.1-x86_64", (6, 1)),
        ("al2023", "al2023-ami-minimal-2023.9.20251117.1-kernel-6.12-arm64", (6, 12)),
        ("al2023", "amazon-eks-node-al2023-x86_64-standard-1.32-v20261101", (6, 1)),
        ("al2023", "amazon-eks-node-al2023-arm64-standard-1.34-v20261101", (6, 12)),
        ("al2023", "amazon-eks-node-al2023-x86_64-standard-1.36-v20261101", (6, 18)),
        ("al2023", "golden-2026", None),
        ("ubuntu-24.04", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261101", None),
    ],
)
def test_series_by_name(platform: Platform, name: str, series: Series | None) -> None:
    assert series_of_image(platform, name) == series


def test_series_by_release() -> None:
    assert series_of_release("6.12.40-63.114.amzn2023.x86_64") == (6, 12)
    assert series_of_release("") is None


@pytest.mark.parametrize(
    ("of", "old", "new", "said"),
    [
        ({}, (6, 1), (6, 12), "kube-proxy's ipvs mode needs ip_vs and the module of the scheduler rr there"),
        ({"kubeProxy": {"mode": "nftables"}}, (5, 10), (6, 1), "nftables mode works: it needs kernel 5.13 or newer"),
        ({"kubeProxy": {"mode": "nftables"}}, (6, 1), (5, 10), "nftables mode does not work"),
        ({"packages": [{"name": "kernel6.12-modules-extra"}]}, (6, 12), (6, 18), "series: kernel6.12-modules-extra"),
        ({"kubernetesVersion": "1.36", "kubeProxy": {"ipvs": {"connTabBits": 22}}}, (6, 12), (6, 1),
         "connTabBits 22 is too much"),
        ({}, (6, 18), (7, 1), "connTabBits is its maximum"),
    ],
)  # fmt: skip
def test_what_another_series_means(of: dict[str, Any], old: Series, new: Series, said: str) -> None:
    sentences = list(what_changes(spec(of), old, new))

    assert any(said in each for each in sentences), sentences

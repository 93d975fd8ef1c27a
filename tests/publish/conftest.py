"""One moto server per test process, a fresh account per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publish.stand_in import moto, proof
from tests.publish.stand_in.gateway import Gateway
from tests.publish.world import KEYS, World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What talks to moto's server takes seconds a test: not in the everyday loop."""
    for item in items:
        if "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto.moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def shared_gateway(moto_url: str) -> Iterator[Gateway]:
    with Gateway(moto=moto_url) as gateway:
        yield gateway


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    moto_url: str,
    shared_gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    # The matrix of faults has the same commands as other tests, very often.
    policed = request.node.path.name != "test_faults.py"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", shared_gateway.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr("amigen.publish.proof.script_of", proof.script_of)
    monkeypatch.setattr("amigen.publish.proof.judge", proof.judge)
    moto.reset(moto_url)
    shared_gateway.reset()
    shared_gateway.broken.clear()
    yield World(moto=moto_url, gateway=shared_gateway, folder=tmp_path, policed=policed)
    assert shared_gateway.broken == []

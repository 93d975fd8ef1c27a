"""cloud-init as the judge of user data: the system's, and 25.1 of Debian 13."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.real.cloud_init import VERSION, newer_cloud_init

SYSTEM_PYTHON = "/usr/bin/python3"
Ask = Callable[[bytes], dict[str, Any]]


class Seen(NamedTuple):
    """A part as cloud-init hands it to its handler."""

    type: str
    filename: str
    content: bytes


class Left(NamedTuple):
    """What cloud-init's handlers leave on the disk, what its schema says of the cloud-config, and what fails of it."""

    error: str
    scripts: tuple[tuple[str, bytes], ...]
    early: tuple[tuple[str, bytes], ...]
    config: dict[str, Any]
    schema: str
    modules: list[str]


@pytest.fixture(scope="session", params=["system", VERSION])
def cloud_init_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment in which the system's python has this cloud-init."""
    environment = dict(os.environ)
    if request.param != "system":
        path = newer_cloud_init()
        if isinstance(path, str):
            pytest.skip(f"not proven here: cloud-init {VERSION}: {path}")
        environment["PYTHONPATH"] = str(path)
    have = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import cloudinit.user_data"], capture_output=True, check=False, env=environment
    )
    if have.returncode:
        pytest.skip("needs the system package cloud-init")
    return environment


@pytest.fixture(scope="session")
def cloud_init_judge(cloud_init_environment: dict[str, str]) -> Iterator[Ask]:
    """One process for all documents of a session."""
    judge = subprocess.Popen(
        [SYSTEM_PYTHON, str(Path(__file__).with_name("cloudinit_judge.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=cloud_init_environment,
    )  # fmt: skip
    assert judge.stdin
    assert judge.stdout

    def ask(document: bytes) -> dict[str, Any]:
        judge.stdin.write(base64.b64encode(document) + b"\n")  # type: ignore[union-attr]
        judge.stdin.flush()  # type: ignore[union-attr]
        answer: dict[str, Any] = json.loads(judge.stdout.readline())  # type: ignore[union-attr]
        return answer

    yield ask
    judge.communicate()


@pytest.fixture
def cloud_init_leaves(cloud_init_judge: Ask) -> Callable[[bytes], Left]:
    """Hands user data to cloud-init's own handlers: scripts in the order in which it runs them, cloud-config merged."""

    def read(document: bytes) -> Left:
        said = cloud_init_judge(document)

        def texts(name: str) -> tuple[tuple[str, bytes], ...]:
            return tuple((file, text.encode("utf-8", "surrogateescape")) for file, text in said[name])

        return Left(said["error"], texts("scripts"), texts("early"), said["config"], said["schema"], said["modules"])

    return read


@pytest.fixture
def cloud_init(cloud_init_judge: Ask) -> Callable[[bytes], list[Seen]]:
    """Reads user data with cloud-init's own code."""

    def read(document: bytes) -> list[Seen]:
        return [
            Seen(part["type"], part["filename"], base64.b64decode(part["content"]))
            for part in cloud_init_judge(document)["parts"]
        ]

    return read

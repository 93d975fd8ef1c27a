"""Processes of the real command that are there at once: forked from one that has loaded everything already.

A process per kill is what the tests of faults need, and an interpreter that starts and imports boto3 takes most of its
time.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from amigen.cli import main
from tests.publish.stand_in import proof


def warm_up() -> None:
    """Read the services' descriptions, the largest part of what a command loads."""
    from amigen.aws.session import Aws, AwsOptions
    from amigen.cli import COMMANDS, cli

    for name in COMMANDS:
        cli.get_command(None, name)  # type: ignore[arg-type]
    aws = Aws(AwsOptions(endpoint_url="http://127.0.0.1:9"))
    for service in ("ec2", "ssm", "autoscaling"):
        aws._client(service, "eu-central-1")


def run(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    """`amigen ARGUMENTS`, with the stand-in for a node's checks; all that it says goes to a file."""
    os.environ.clear()
    os.environ.update(environment)
    with log.open("w") as stream:
        sys.stdout = sys.stderr = stream
        proof.use()
        main(list(arguments))


def start(arguments: Sequence[str], log: Path) -> BaseProcess:
    """Start a process; what this process has in its environment now is what it gets."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__name__}_warm"])
    process = context.Process(target=run, args=(tuple(arguments), dict(os.environ), log), daemon=True)
    process.start()
    return process

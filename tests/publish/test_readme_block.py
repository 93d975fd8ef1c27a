"""README's second block of commands, word for word, with an account that is a stand-in and the real Packer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.build.test_readme import BLOCKS
from tests.publish.world import World
from tests.real.build import program

REGION = "us-east-1"


def test_the_second_block_ends_with_a_plan(world: World, tmp_path: Path) -> None:
    """Of an AMI out of the newest base of the account; nothing was made."""
    base = world.make_image("amazon-eks-node-al2023-x86_64-standard-1.36-v20261101", {}, REGION)
    parameter = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/x86_64/standard/recommended/image_id"
    world.gateway.model.public_parameters[REGION, parameter] = base
    (tmp_path / "bin").mkdir()
    amigen = tmp_path / "bin" / "amigen"
    amigen.write_text(f'#!/bin/sh\nexec {sys.executable} -m amigen "$@"\n')
    amigen.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", BLOCKS[1]],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{amigen.parent}:{program('packer').parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{base} now" in done.stdout
    assert "nothing was done" in done.stdout
    assert (tmp_path / "out/al2023/packer/aws/image.pkr.hcl").is_file()

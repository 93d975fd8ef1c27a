"""The real Packer on the rendered files of a spec, without a builder to connect to: what counts is what it calls."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from amigen.render.artifacts import artifacts
from amigen.spec.load import load_spec
from tests.real.packer import run_packer


def packer_build(spec: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Packer on the files of the spec's one platform, without provisioners."""
    for artifact in artifacts(load_spec(spec)):
        path = folder / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifact.content)
    file = next(folder.rglob("aws/image.pkr.hcl"))
    text = file.read_text()
    for pattern, new in (
        (r'communicator\s*= "ssh"', 'communicator = "none"'),
        (r"(?ms)^  provisioner .*?^  }\n", ""),
        # The tunnel of Session Manager is opened by Packer itself.
        (r"(?m)^  ssh_(?!username|interface).*\n", ""),
        (r"delay_seconds\s*= .*", "delay_seconds = 1"),
    ):
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    file.write_text(text)
    words = [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    return run_packer("build", "-color=false", *words, ".", cwd=file.parent)

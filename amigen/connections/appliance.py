"""The root of an image file that is not running, see `amigen.vm.appliance`."""

from __future__ import annotations

import subprocess

from amigen.connections.model import Connection, Target
from amigen.vm.appliance import Appliance


class InAppliance(Connection):
    """Scripts run in the root of the image."""

    def __init__(self, appliance: Appliance) -> None:
        name = str(appliance.image.disk)
        super().__init__(Target(text=name, kind="vm", name=name))
        self._appliance = appliance

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        done = self._appliance.run(script, timeout=self.options.seconds)
        out, err = (stream.encode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(script, done.returncode, out, err)

"""Verification by the rendered testinfra suite: the same files that stand in the rendered folder, run by pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from amigen.build.record import Outcome
from amigen.build.verdict import Log, Result
from amigen.errors import CouldNotCheckError, SizeError
from amigen.plan.model import ImagePlan
from amigen.tools import tied
from amigen.userdata.make import user_data
from amigen.vm.image import VmImage
from amigen.vm.machine import Machine
from amigen.vm.ssh import SshTarget

_SECONDS = 1800
# Looking at a running machine makes it log: who comes in, who becomes root. An image that is off can be asked.
_NOT_WHILE_IT_RUNS = "test_hygiene[logs]"


class SuiteVerifier:
    """See `amigen.build.verdict.Verifier`."""

    def builder(self, plan: ImagePlan, target: SshTarget, work: Path, log: Log) -> tuple[Result, ...]:
        """The checks of a node, on the builder."""
        return _run(plan, target, work / "checks-builder", "test_node.py", [])

    def cleaned(self, plan: ImagePlan, target: SshTarget, work: Path, log: Log) -> tuple[Result, ...]:
        """The hygiene checks, on the root of the builder."""
        results = _run(plan, target, work / "checks-cleaned", "test_image.py", ["--amigen-image-root=/"])
        return tuple(
            Result(id=r.id, outcome="not provable", message="a machine that runs logs that it is looked at")
            if r.id == _NOT_WHILE_IT_RUNS and r.outcome == "failed"
            else r
            for r in results
        )

    def image(self, plan: ImagePlan, image: VmImage, user: str, work: Path, log: Log) -> tuple[Result, ...]:
        """Boot a new node of the image, and check it."""
        with Machine(image, work=work, user=user, user_data=_user_data(plan), log=log) as machine:
            machine.wait_for_ssh()
            machine.wait_for_cloud_init()
            return _run(plan, machine.ssh, work / "checks", "test_node.py", [])


def _user_data(plan: ImagePlan) -> bytes:
    """What a node of this image would be given; nothing where that would join a cluster that is not there."""
    if plan.spec.join.eks is not None:
        return b""
    try:
        return user_data(plan)
    except SizeError:
        return b""


def _run(plan: ImagePlan, target: SshTarget, work: Path, file: str, more: list[str]) -> tuple[Result, ...]:
    from amigen.render.suite import suite_files

    work.mkdir()
    for name, text in suite_files(plan).items():
        (work / Path(name).name).write_text(text, encoding="utf-8")
    (work / "ssh_config").write_text(_ssh_config(target), encoding="utf-8")
    report = work / "report.xml"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--rootdir", str(work), "--tb=short", "-p", "no:cacheprovider"),
        # These two and no other: what else is installed here has no part in a proof.
        *("-p", "testinfra.plugin", "-p", "amigen.testing.plugin"),
        *("-c", os.devnull, f"--hosts=ssh://{target.user}@builder", f"--ssh-config={work / 'ssh_config'}", "--sudo"),
        *(f"--junit-xml={report}", *more, str(work / file)),
    ]
    try:
        done = subprocess.run(
            tied(command, "TERM"),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=work,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        )
    except subprocess.TimeoutExpired:
        raise CouldNotCheckError(f"the checks did not end within {_SECONDS} s") from None
    # 0: all passed, 1: some failed; everything else is no verdict.
    if done.returncode not in (0, 1) or not report.is_file():
        raise CouldNotCheckError(f"the checks could not run: {(done.stdout + done.stderr)[-1500:]}")
    return tuple(_result(case) for case in ET.parse(report).iter("testcase"))  # noqa: S314 - our own pytest's


def _ssh_config(target: SshTarget) -> str:
    pairs = [o.removeprefix("-o").split("=", 1) for o in target.arguments if o.startswith("-o")]
    lines = [f"  {name} {value}" for name, value in pairs]
    where = [f"  HostName {target.host}", f"  Port {target.port}", f"  IdentityFile {target.key}"]
    return "\n".join(["Host builder", *where, *lines]) + "\n"


def _result(case: ET.Element) -> Result:
    # testinfra puts the host before the subject: test_package[ssh://builder-ipvsadm].
    check = re.sub(r"\[ssh://(?:[^@\]]*@)?builder-?", "[", case.get("name", ""))
    seconds = float(case.get("time", 0))
    kinds: dict[str, Outcome] = {"failure": "failed", "error": "failed", "skipped": "not provable"}
    for kind, outcome in kinds.items():
        found = case.find(kind)
        if found is not None:
            # Without pytest's own words around it.
            message = (found.get("message") or found.text or "").removeprefix("AssertionError: ").split("\nassert ")[0]
            return Result(id=check, outcome=outcome, message=message, seconds=seconds)
    return Result(id=check, outcome="passed", seconds=seconds)

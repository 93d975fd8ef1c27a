"""One image from the start of Packer to its end: what it says, what it asks, how it is stopped."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from amigen.base.errors import BuildError, ChecksFailedError, CouldNotCheckError, ToolError
from amigen.base.files import MAX_BYTES, read_tail
from amigen.base.processes import run_tool, tied
from amigen.base.waiting import wait_until
from amigen.build.facts import BuilderFacts, ask_builder, wait_until_booted
from amigen.build.hook import EVENTS, Event, HookServer
from amigen.build.packer_tool import Packer, build_command, parse_line
from amigen.build.progress import Progress
from amigen.build.proof import check_builder, check_cleaned, require_passed
from amigen.build.record import CheckRecord, package_diff
from amigen.build.stop import Stop
from amigen.plan.model import ImagePlan
from amigen.render.artifacts import build_files
from amigen.spec.values import Architecture
from amigen.vm.ssh import SshTarget

# How long Packer may take to remove what it made, after it was told to stop.
_CLEANUP_SECONDS = 600
_LINE = 1 << 16


@dataclass(kw_only=True)
class Session:
    """A running build of one image, and what it has found out so far.

    Attributes:
        work: Private scratch folder; has the key `id_ed25519`.
        log: File that gets every word of Packer.
        keep: Leave a machine on which a check failed running until the build is interrupted.
        proxy: Command that ssh reaches the builder through.
    """

    plan: ImagePlan
    architecture: Architecture
    packer: Packer
    progress: Progress
    stop: Stop
    work: Path
    log: Path
    keep: bool = False
    phases: dict[str, float] = field(default_factory=dict)
    checks: list[CheckRecord] = field(default_factory=list)
    before: BuilderFacts | None = None
    after: BuilderFacts | None = None
    proxy: str = ""
    _phase: tuple[str, float] = ("", 0.0)
    _errors: deque[str] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def job(self) -> str:
        """`debian-12/x86_64`."""
        return f"{self.plan.platform}/{self.architecture}"

    @property
    def key(self) -> Path:
        """The private key that the builder lets in."""
        return self.work / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The only host keys that the builder may have, where they are known."""
        return self.work / "known_hosts"

    @property
    def console(self) -> Path:
        """The file with the serial console of a local builder, beside the log."""
        return self.log.with_suffix(".console.log")

    def begin(self, name: str) -> None:
        """A new phase; the time of the one before is written down."""
        now = time.monotonic()
        if self._phase[0]:
            self.phases[self._phase[0]] = round(self.phases.get(self._phase[0], 0.0) + now - self._phase[1], 1)
        self._phase = (name, now)
        if name:
            self.progress.phase(self.job, name)

    def say(self, text: str) -> None:
        """A line of progress."""
        self.progress.line(self.job, text)

    def write_files(self) -> Path:
        """The folder with this platform's scripts and Packer files, as `amigen render` writes them."""
        folder = self.work / "rendered"
        for name, text in build_files(self.plan).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    def target(self, event: Event) -> SshTarget:
        """The builder."""
        return SshTarget(
            host=event.host,
            port=event.port,
            user=event.user,
            key=self.key,
            control=self.work,
            known_hosts=self.known_hosts if self.known_hosts.exists() else None,
            proxy=self.proxy,
        )

    def run_packer(
        self,
        folder: Path,
        *,
        only: str,
        variables: dict[str, Any],
        on_event: Callable[[Event], None],
        environment: dict[str, str] | None = None,
    ) -> None:
        """Run Packer to its end; `on_event` is called at each event, before the checks of that event.

        Raises:
            ChecksFailedError: A check failed; Packer has removed what it made.
            CouldNotCheckError: Packer made an image and did not ask for its checks.
            BuildError: Packer failed, or was stopped.
        """
        heard: set[str] = set()

        def answer(event: Event) -> None:
            heard.add(event.name)
            on_event(event)
            target = self.target(event)
            try:
                self._look(event, target)
            except (ChecksFailedError, CouldNotCheckError) as error:
                if self.keep:
                    self.say(f"{error.message}\nthe builder runs until Ctrl-C; enter it with: {target.enter}")
                    wait_until(lambda: self.stop.asked, seconds=math.inf, every=0.5)
                raise

        with HookServer(self.work / "hook", answer) as server:
            file = self.work / "amigen.pkrvars.json"
            given = {**variables, "hook": server.command, "manifest": str(self.work / "manifest.json")}
            file.write_text(json.dumps(given), encoding="utf-8")
            command = build_command(self.packer, variables=file, only=only)
            env = self._environment(environment or {})
            if self.packer.modern:
                run_tool(
                    [self.packer.path, "init", "."], doing="install Packer's plugins", timeout=600, cwd=folder, env=env
                )
            code = self._packer(command, folder, env)
            if server.failure is not None:
                raise server.failure
        if code != 0:
            why = "interrupted" if self.stop.asked else (self._errors[-1] if self._errors else f"exit code {code}")
            raise BuildError(f"{self.job}: Packer failed: {why}{self._qemu_said()}", f"full output: {self.log}")
        if not heard >= EVENTS:
            raise CouldNotCheckError(f"{self.job}: Packer ended before the checks ran", f"see {self.log}")

    def _look(self, event: Event, target: SshTarget) -> None:
        if event.name == "started":
            # What starts at boot, cloud-init above all, may still install packages and hold the package manager's lock.
            wait_until_booted(target)
            self.before = ask_builder(self.plan, target)
            self.begin("bootstrap")
        elif event.name == "proven":
            self.begin("verify")
            wait_until_booted(target)
            self.after = ask_builder(self.plan, target)
            self.judge(check_builder(self.plan, target), "the builder")
            self.begin("clean")
        elif event.name == "clean":
            self.judge(check_cleaned(self.plan, target), "the cleaned builder")
            target.disconnect()
            self.begin("image")

    def judge(self, checks: tuple[CheckRecord, ...], where: str) -> None:
        """Write the results down, and go on only when nothing failed.

        Raises:
            ChecksFailedError: Names each failed check.
        """
        self.checks += checks
        require_passed(checks, f"{where} of {self.job}")
        passed = sum(check.outcome == "passed" for check in checks)
        self.say(f"{passed} of {len(checks)} checks passed on {where}")

    def findings(self) -> dict[str, Any]:
        """What was found out so far, as fields of an `ImageRecord`; also of a build that failed."""
        found: dict[str, Any] = {"checks": tuple(self.checks), "phases": dict(self.phases)}
        if self.log.exists():
            found["log"] = str(self.log)
        after = self.after or self.before
        if after is not None and self.before is not None:
            found["installed_packages"] = dict(sorted(after.packages.items()))
            found["packages"] = package_diff(self.before.packages, after.packages)
            found["kernel"] = after.kernel
        return found

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        temporary = self.work / "tmp"
        temporary.mkdir(exist_ok=True)
        own = {"TMPDIR": temporary, "PACKER_CACHE_DIR": self.work / "packer-cache", "CHECKPOINT_DISABLE": "1"}
        debug = {"PACKER_LOG": "1", "PACKER_LOG_PATH": self.work / "packer-debug.log"}
        return {**os.environ, **{k: str(v) for k, v in {**own, **debug}.items()}, "PACKER_NO_COLOR": "1", **more}

    def _qemu_said(self) -> str:
        """QEMU's last words, which Packer keeps to its own debug log."""
        try:
            lines = read_tail(self.work / "packer-debug.log", MAX_BYTES).splitlines()
        except OSError:
            return ""
        words = [line.partition("Qemu stderr: ")[2].strip() for line in lines if "Qemu stderr: " in line]
        return f" (QEMU: {' '.join(word for word in words if word)[-500:]})" if any(words) else ""

    def _packer(self, command: list[str], folder: Path, env: dict[str, str]) -> int:
        read_end, write_end = os.pipe()
        with (
            self.log.open("a", encoding="utf-8") as log,
            os.fdopen(read_end, encoding="utf-8", errors="replace") as said,
            # TERM: when amigen is gone, Packer still removes what it made.
            subprocess.Popen(
                tied(command, "TERM"),
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=subprocess.STDOUT,
                # With a reader of its own the pipe does not break when amigen is killed: Packer would die of it in
                # the middle of cleaning up. What it still says then fits into the pipe.
                pass_fds=(read_end,),
                start_new_session=True,
            ) as process,
            self.stop.telling(lambda: _end(process), process.pid),
        ):
            os.close(write_end)
            try:
                # A line without end comes in parts.
                while line := said.readline(_LINE):
                    self._hear(line, log)
                return process.wait(_CLEANUP_SECONDS)
            finally:
                # Whatever of Packer's own children (plugins, QEMU) is left goes with it.
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _hear(self, line: str, log: TextIO) -> None:
        kind, words = parse_line(line)
        if kind not in ("ui", "error"):
            log.write(line)
        else:
            text = words[-1] if words else ""
            log.write(text + "\n")
            if "error" in (kind, *words[:1]):
                self._errors.append(text.strip())
            _, mark, rest = text.partition("amigen: ")
            if mark and "FAILED" in rest:
                self._errors.append(rest.strip())
            elif mark:
                self.say(rest.strip())
        log.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        process.send_signal(signal.SIGTERM)


def manifest_artifact(work: Path) -> str:
    """The artifact id in Packer's manifest.

    Raises:
        ToolError: Packer ended well and named nothing.
    """
    try:
        builds = json.loads((work / "manifest.json").read_text())["builds"]
        return str(builds[-1]["artifact_id"])
    except (OSError, ValueError, LookupError) as error:
        raise ToolError(f"Packer's manifest does not say what was built: {error!r}") from None

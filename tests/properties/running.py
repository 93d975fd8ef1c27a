"""Runs what was rendered, and says whether it left on the node what the spec holds: to the byte, and nothing else."""

from __future__ import annotations

import json
import re
import stat
from typing import Any

from amigen.checks.model import RELEASE_PATH, InstallGate, JoinCluster, RunHook, WriteFile
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.scripts.join import bootstrap_arguments
from amigen.spec.load import parse_spec
from tests.properties.throwaway import BareRoot, bare_root

# Made by the run itself, whatever the plan: its lock and its last act.
_OWN = {"/run/amigen/lock", RELEASE_PATH}
# What holds the units until the gate is there, gone at the next boot; and the database that Debian's rpm makes.
_BESIDE = re.compile(r"/run/systemd/system/[^/]+\.d/10-amigen-ready\.conf|/root/\.rpmdb/rpmdb\.sqlite(-shm|-wal)?")
_UNIT_LINK = "/etc/systemd/system/multi-user.target.wants/amigen-ready.service"


def runnable(document: dict[str, Any]) -> dict[str, Any]:
    """The spec without what a bare root cannot give: packages and accounts; hooks end before the text they carry."""
    out = dict(document)
    out.pop("packages", None)
    out.pop("modules", None)
    out["kubeProxy"] = {"mode": "iptables"}
    owners = ("root", "daemon", "0", "65534")
    out["files"] = [
        {**file, "owner": owners[n % 4], "group": owners[n // 4 % 4]} for n, file in enumerate(out.get("files", []))
    ]
    hooks: dict[str, Any] = out.get("hooks") or {}
    out["hooks"] = {
        when: [{**hook, "script": "exit 0\n" + str(hook["script"])} for hook in hooks[when]] for when in hooks
    }
    return out


def run_and_compare(document: dict[str, Any], *, twice: bool = True) -> int:
    """Run the bootstrap script of each platform, and once more; the number of files that were compared.

    Raises:
        AssertionError: A file is not what the plan says, is too many or missing, or the second run changed something.
    """
    compared = 0
    for plan in plan_images(parse_spec(document)):
        with bare_root(plan.platform) as root:
            before = set(root.files())
            done = root.run(bootstrap_script(plan, user_data=True))
            assert done.returncode == 0, done.stdout
            found = root.files()
            expected = expected_files(plan)
            joined = _joined(plan, root)
            # Links that the mounts need, such as /bin, are of the test.
            links = {path for path in found if path.count("/") == 1 and found[path].is_symlink()}
            new = set(found) - before - links - _OWN - {"/run/script.sh"}
            extra = {path for path in new - set(expected) - joined if not _BESIDE.fullmatch(path)}
            assert not extra, extra
            assert set(expected) - new == set()
            for path, (content, mode) in expected.items():
                assert found[path].read_bytes() == content, path
                assert stat.S_IMODE(found[path].stat().st_mode) == mode, path
            assert json.loads(found[RELEASE_PATH].read_bytes())["digest"] == plan.digest
            compared += len(expected)
            if not twice:
                continue
            again = root.run(bootstrap_script(plan, user_data=True))
            assert again.returncode == 0, again.stdout
            # A hook that runs at every bootstrap is a change each time, with a new time in release.json.
            hooks = any(isinstance(step, RunHook) and not step.once for step in plan.steps)
            last = again.stdout.splitlines()[-1]
            assert last.startswith("amigen: ready: " if hooks else "amigen: ready: 0 changes"), last
            wrote = {line.removeprefix("amigen: writing ") for line in again.stdout.splitlines()}
            # The file of such a hook is written anew with it.
            anew = {path for path in expected if hooks and (path == RELEASE_PATH or "/amigen/hooks/" in path)}
            assert not wrote & (set(expected) - anew)
    return compared


def expected_files(plan: ImagePlan) -> dict[str, tuple[bytes, int]]:
    """Path -> content and mode of all that the plan writes."""
    out: dict[str, tuple[bytes, int]] = {}
    for step in plan.steps:
        for file in step.all_files if isinstance(step, InstallGate) else (step,):
            if isinstance(file, WriteFile):
                out[file.path] = (file.content, int(file.mode, 8))
        if isinstance(step, RunHook):
            out[f"/usr/local/lib/amigen/hooks/{step.name}"] = (step.script.encode(), 0o700)
            (check,) = step.checks
            stamp = getattr(check, "sha256", "") + "\n"
            out[f"/var/lib/amigen/hooks/{step.name}.sha256"] = (stamp.encode(), 0o644)
    return out


def _joined(plan: ImagePlan, root: BareRoot) -> set[str]:
    """What the join and the gate leave besides files of the plan; the arguments of the join are compared here."""
    out = {_UNIT_LINK} if any(isinstance(step, InstallGate) for step in plan.steps) else set()
    if any(isinstance(step, JoinCluster) and step.by == "bootstrap.sh" for step in plan.steps):
        words = (root.folder / "run/joined-with").read_bytes().decode().split("\0")
        assert tuple(words) == (*bootstrap_arguments(plan), "")
        out |= {"/run/joined-with", "/var/lib/amigen/joined.sha256"}
    return out

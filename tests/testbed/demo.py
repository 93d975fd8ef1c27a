"""`make demo`: one spec becomes artifacts, which are run with the real package managers and verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.testbed.roots import apt_root, dnf_root, mounted, run_in

SPEC = "examples/both-families.yaml"
OUT = Path("out/demo")
ROOTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "ubuntu-24.04": ("real apt; this machine's distribution stands in for Ubuntu 24.04", apt_root),
    "al2023": ("real dnf and rpm; a Debian root stands in for Amazon Linux 2023", dnf_root),
}


def main() -> int:
    """Run the demo; the exit code says whether all of it worked."""
    _title(f"1. Render {SPEC} to {OUT}")
    _amigen("check", SPEC)
    _amigen("render", SPEC, "-o", str(OUT))
    if os.geteuid() != 0:
        print("\nNot root: the scripts cannot be run in a throw-away root here. Run `sudo make demo` for that part.")
        print(f"The artifacts are in {OUT}.")
        return 0
    results: list[tuple[str, str, str, str]] = []
    for platform, (what, make) in ROOTS.items():
        _title(f"{len(results) + 2}. {platform}: {what}")
        results.append((platform, *_prove(platform, make)))
    _title("Summary")
    for platform, first, second, verified in results:
        print(f"  {platform:13} first run: {first:28} second run: {second:18} testinfra: {verified}")
    print(f"\nArtifacts: {OUT}. What no root can prove (loaded modules, a reboot) is proved in a VM by `make test`.")
    return 0 if all(r[1] == "ok" and r[2] == "changed nothing" and r[3].endswith("0 failed") for r in results) else 1


def _prove(platform: str, make: Callable[[Path], Path]) -> tuple[str, str, str]:
    work = Path(tempfile.mkdtemp(prefix="amigen-demo-"))
    root = work / "root"
    try:
        make(root)
        shutil.copy(OUT / platform / "scripts/bootstrap.sh", root / "root/bootstrap.sh")
        with mounted(root):
            first = _run(root)
            second = _run(root)
            verified = _verify(platform, root)
        unchanged = "changed nothing" if second.startswith("amigen: ready: 0 changes") else f"FAILED: {second}"
        return ("ok" if first.startswith("amigen: ready") else f"FAILED: {first}"), unchanged, verified
    finally:
        # --one-file-system: should a mount still be there, nothing of this machine is removed.
        subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)


def _run(root: Path) -> str:
    """The script's last line."""
    # No kernel of its own: modules are persisted and looked up, not loaded.
    done = run_in(root, "bash", "/root/bootstrap.sh", AMIGEN_NO_KERNEL="1")
    print("".join(f"  {line}\n" for line in done.stdout.splitlines()))
    return done.stdout.splitlines()[-1] if done.stdout else "no output"


def _verify(platform: str, root: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--no-header", "-p", "no:cacheprovider"]
    command += ["--connection=chroot", f"--hosts={root}", str(OUT / platform / "tests" / "test_node.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print("".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines()[-25:]))
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no output"
    return last if done.returncode else f"{last.strip('= ')}, 0 failed"


def _amigen(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "amigen", *arguments], check=True)


def _title(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

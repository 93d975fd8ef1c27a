"""A coverage-guided search for inputs that break a parser: `python -m tests.fuzz [SECONDS] [TARGET...]`.

Needs atheris (https://github.com/google/atheris), which is no dependency of the tests. Each target gets a process of
its own and an equal share of the time; the first finding ends its process with the input, its traceback and a code.
"""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 300
# Larger inputs find nothing that small ones do not, and the limits of size have tests of their own.
MAX_LENGTH = 4096
# One input may take this long, in a process that is slowed down by its own instrumentation.
ONE_INPUT = 20
# Files that libFuzzer writes of what it finds.
_FINDINGS = ("crash-", "timeout-", "oom-", "leak-", "slow-unit-")


def main(arguments: list[str]) -> int:
    """Search in all targets, or in those that are named; 1 where one of them has a finding."""
    if arguments[:1] == ["--one"]:
        search(arguments[1], int(arguments[2]), Path(arguments[3]))
        return 0
    try:
        import atheris  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        print("the search needs atheris: pip install atheris", file=sys.stderr)
        return 9
    from tests.fuzz.targets import TARGETS

    seconds = int(arguments[0]) if arguments else SECONDS
    names = arguments[1:] or list(TARGETS)
    return search_each({name: target_command(name, max(1, seconds // len(names))) for name in names})


def target_command(name: str, share: int) -> tuple[list[str], int]:
    """The search in one target, without the folder that it works in, and the seconds after which it must be over."""
    return [sys.executable, "-m", "tests.fuzz", "--one", name, str(share)], share * 3 + 300


def search_each(commands: dict[str, tuple[list[str], int]]) -> int:
    """Run the searches one after the other; 1 where one of them has a finding, which keeps no other from its search."""
    found = 0
    begun = time.monotonic()
    for name, (command, most) in commands.items():
        # libFuzzer ends its process at once, so that the folder is this one's to remove.
        with tempfile.TemporaryDirectory(prefix="amigen-fuzz-") as folder:
            ok, said = run_one([*command, folder], most)
            inputs = [path for path in sorted(Path(folder).iterdir()) if path.name.startswith(_FINDINGS)]
            runs = next((line for line in reversed(said.splitlines()) if line.startswith("Done ")), "no count")
            print(f"{name}: {'ok' if ok and not inputs else 'FOUND SOMETHING'} ({runs})", flush=True)
            if not ok or inputs:
                found += 1
                print(said[-4000:])
            for path in inputs:
                print(f"{path.name}, base64: {base64.b64encode(path.read_bytes()).decode()}")
    print(f"{len(commands)} targets in {time.monotonic() - begun:.0f} s, {found} with a finding")
    return 1 if found else 0


def run_one(command: list[str], most: int) -> tuple[bool, str]:
    """Whether a search ended well, and all that it said; one that does not end is a finding, too."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=most
        )
    except subprocess.TimeoutExpired as error:
        return False, f"{(error.stdout or b'').decode(errors='replace')}\nno end within {most} s"
    return done.returncode == 0, done.stdout.decode(errors="replace")


def search(name: str, seconds: int, folder: Path) -> None:
    """Search in one target until the time is up; does not return."""
    import atheris

    with atheris.instrument_imports(include=["amigen", "email", "yaml"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def one(content: bytes) -> None:
        with contextlib.suppress(*target.errors):
            target.run(content)

    for number, seed in enumerate(target.seeds):
        (folder / str(number)).write_bytes(seed[:MAX_LENGTH])
    # A fixed seed: two runs of the same time look at much the same inputs. The well-formed inputs are kept: where a
    # library in C reads them, coverage does not tell them from noise, and they would be cut down to a byte.
    options = ["-seed=1", "-keep_seed=1", "-reduce_inputs=0", f"-max_len={MAX_LENGTH}", "-rss_limit_mb=1024"]
    options += [f"-max_total_time={seconds}", f"-timeout={ONE_INPUT}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`--keep`: a builder on which a check failed is left running, and the command that enters it is said and enters it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from amigen.base.errors import ChecksFailedError
from amigen.build.packer_tool import Packer
from amigen.build.progress import Progress
from amigen.build.session import Session
from amigen.build.stop import Stop
from amigen.vm.ssh import new_key
from tests.build.local_builds import LIGHT, command, left_in, processes
from tests.build.stand_in_packer import stand_in_packer
from tests.build.test_packer_files import plan_of

# As Packer does it: the hook runs in a shell, with what is known of the builder.
ASK = f"""\
hook=$({sys.executable} -c "import json; print(json.load(open('amigen.pkrvars.json'))['hook'])")
AMIGEN_EVENT=started AMIGEN_HOST=127.0.0.1 AMIGEN_PORT=2222 AMIGEN_USER=me sh -c "$hook" && exit 0
exit 1"""


@pytest.mark.parametrize("keep", [True, False])
def test_a_builder_with_a_failed_check(
    keep: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ChecksFailedError("the module is not there")

    monkeypatch.setattr(Session, "_look", fails)
    stop = Stop()
    new_key(folder)
    session = Session(
        plan=plan_of(),
        architecture="x86_64",
        packer=Packer(path=str(stand_in_packer(folder, ASK)), version=(1, 6, 6)),
        keep=keep,
        progress=Progress(),
        stop=stop,
        work=folder,
        log=folder / "log",
    )
    if keep:
        threading.Timer(2, stop.ask).start()
    with pytest.raises(ChecksFailedError, match="the module is not there"):
        session.run_packer(folder, only="x", variables={}, on_event=lambda *_: None)
    # Kept until it was asked to end.
    assert stop.asked == keep
    enter = f"enter it with: ssh -i {folder}/id_ed25519 -p 2222 "
    assert (enter in capsys.readouterr().err) == keep


# The hook runs after the file was written.
BROKEN = """\
files: [{path: /etc/motd, content: whole}]
hooks: {after: [{name: break, script: printf broken >/etc/motd}]}
"""


@pytest.mark.slow
def test_a_real_builder_is_entered(folder: Path) -> None:
    words, given = command(folder, LIGHT + BROKEN)
    with subprocess.Popen([*words, "--keep"], **given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        while "enter it with: " not in (line := process.stderr.readline()):
            assert line, said
            said.append(line)
        assert any("test_file[/etc/motd]" in each for each in said), said
        enter = line.partition("enter it with: ")[2].strip()
        done = subprocess.run(f"{enter} cat /etc/motd", shell=True, capture_output=True, text=True, timeout=300)
        assert done.stdout == "broken", done.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        assert process.returncode == 130
    assert processes(folder) == []
    assert left_in(folder) == []

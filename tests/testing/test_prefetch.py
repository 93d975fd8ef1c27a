"""Gathering: what testinfra is answered is what its own command would have said."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testinfra.backend.local import LocalBackend
from testinfra.host import Host

from amigen.testing.prefetch import Answer, PrefetchedBackend, Wanted, answers, gather_script
from amigen.testing.prefetch.backend import prefetch
from amigen.testing.prefetch.script import literal_commands
from amigen.testing.prefetch.sections import GatherError

TOKEN = "0123456789abcdef0123456789abcdef"
NASTY = 'it\'s a "file" $HOME `id` \\n | é \u2028 end'


def run(script: str) -> bytes:
    done = subprocess.run(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.stderr == b""
    return done.stdout


def test_each_answer_is_the_commands_own(tmp_path: Path) -> None:
    """Run for real on this machine: every answer is compared with the command that it stands for."""
    plain, nasty, folder = tmp_path / "plain", tmp_path / NASTY, tmp_path / "folder"
    plain.write_text("text without an end")
    nasty.write_bytes(b"\x00\xff\n" + f"\n{TOKEN[:-1]}f stdout 0\n".encode())
    plain.chmod(0o640)
    folder.mkdir()
    odd = {"empty": b"", "line": b"a\n", "lines": b"\n\na:b\r\n\n", "binary": b"\x00\xff\n\x00", "one": b"\n"}
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
    texts = [str(tmp_path / name) for name in odd]
    wanted = Wanted(
        modules=("ip_vs", "ext4"),
        packages=("bash", "no-such-package", "coreutils"),
        files=(str(plain), str(nasty), str(folder), str(tmp_path / "missing")),
        texts=(str(plain), str(tmp_path / "missing"), *texts),
        settings=("/proc/sys/kernel/ostype", "/proc/sys/no/such"),
        commands=(
            "printf 'out\\n\\n'; printf err >&2; exit 3",
            "cat",
            "true",
            "head -n 1 /proc/modules",
            f"head -n 1 {tmp_path}/missing",
        ),
    )
    found = answers(wanted, run(gather_script(wanted, TOKEN)), TOKEN)
    assert set(literal_commands(wanted)) <= set(found)
    for command, answer in found.items():
        if "/lib/modules" in command and "names=" in command:
            continue  # compared as what is read out of it, in test_modules
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if not command.startswith(("rpm ", "dpkg-query ")) or done.returncode == 0:
            assert (command, answer.stdout) == (command, done.stdout)
        assert (command, answer.code) == (command, done.returncode)


@pytest.mark.parametrize(
    ("listed", "known"),
    [
        ("a.service loaded active exited A failed unit\nb.service loaded active running B", {"failed", "a", "b"}),
        ("a.service loaded active running A\nc.service loaded failed failed C", {"a"}),
        ("b.service loaded active running B", {"failed", "b"}),
        ("", {"failed"}),
    ],
)
def test_units_are_told_where_they_are_as_they_should_be(tmp_path: Path, listed: str, known: set[str]) -> None:
    """By a stand-in for systemctl; what is not answered goes to the host."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}\nEND\n")
    systemctl.chmod(0o755)
    asked = {
        "failed": "systemctl list-units --failed --plain --no-legend",
        "a": "systemctl is-active a.service",
        "b": "systemctl is-active b.service",
    }
    wanted = Wanted(commands=tuple(asked.values()))
    found = answers(wanted, run(f"PATH={tmp_path}:$PATH\n{gather_script(wanted, TOKEN)}"), TOKEN)

    assert {name for name, command in asked.items() if command in found} == known
    assert {found[asked[name]].stdout for name in known - {"failed"}} <= {b"active\n"}


def test_testinfra_is_answered_without_a_further_command(tmp_path: Path) -> None:
    """With the testinfra that is installed: when its commands change, this says so."""
    file = tmp_path / NASTY
    file.write_text("hello")
    file.chmod(0o604)
    wanted = Wanted(packages=("bash", "no-such-package"), files=(str(file),), texts=(str(file),))
    host = Host(LocalBackend())
    host.backend = prefetch(host.backend, wanted)
    found = host.file(str(file))
    assert (found.exists, found.is_file, found.is_directory, found.mode, found.size) == (True, True, False, 0o604, 5)
    assert found.user
    assert found.group
    assert found.uid == file.stat().st_uid
    assert found.content_string == "hello"
    # testinfra leaves the backslash that sha256sum(1) puts before an escaped name.
    assert found.sha256sum == "\\2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert host.package("bash").is_installed
    assert host.package("bash").version
    assert not host.package("no-such-package").is_installed
    assert host.backend.passed_on == []


def test_what_was_not_gathered_goes_to_the_host(tmp_path: Path) -> None:
    host = Host(LocalBackend())
    host.backend = prefetch(host.backend, Wanted())
    (tmp_path / "later").write_text("x")
    assert host.file(str(tmp_path / "later")).exists
    assert host.backend.passed_on == [f"test -e {tmp_path}/later"]


def test_a_change_makes_it_forget(tmp_path: Path) -> None:
    """A user's test that changes something sees the change."""
    file = tmp_path / "file"
    file.write_text("x")
    host = Host(LocalBackend())
    host.backend = prefetch(host.backend, Wanted(files=(str(file),)))
    assert host.file(str(file)).exists
    host.run("rm %s", str(file))
    assert not host.file(str(file)).exists


def test_looking_does_not_make_it_forget(tmp_path: Path) -> None:
    known = {"cat /gathered": Answer(code=0, stdout=b"as it was")}
    backend = PrefetchedBackend(LocalBackend(), dict(known))
    backend.run("test -e %s", str(tmp_path))
    backend.run("cat -- %s", "/etc/hostname")
    assert backend.known == known
    backend.run("cat /etc/hostname; true")
    assert backend.known == {}


def test_output_that_was_cut_short_is_no_output() -> None:
    wanted = Wanted(texts=("/etc/hostname",))
    output = run(gather_script(wanted, TOKEN))
    with pytest.raises(GatherError, match="cut short"):
        answers(wanted, output[: len(output) // 2], TOKEN)


def test_a_banner_before_it_does_not_matter() -> None:
    wanted = Wanted(settings=("/proc/sys/kernel/ostype",))
    output = b"Welcome!\nAuthorized users only.\n" + run(gather_script(wanted, TOKEN))
    assert answers(wanted, output, TOKEN)["cat /proc/sys/kernel/ostype"].stdout == b"Linux\n"


@given(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "stdout 0",
                "stdout 99",
                "stderr 0",
                "code 0",
                "code x",
                "rpm",
                "end",
                "stat",
                "contents",
                "units",
                "kernel 6.1",
                "schedulers",
            ]
        ),
        max_size=8,
    ),
)
def test_hostile_output_is_refused_or_read(junk: bytes, names: list[str]) -> None:
    """Nothing but GatherError leaves the parser, whatever a target prints."""
    wanted = Wanted(modules=("ip_vs",), packages=("a",), files=("/x",), settings=("/proc/sys/a",), schedulers=("rr",))
    output = b"".join(f"\n{TOKEN} {name}\n".encode() + junk for name in names)
    with suppress(GatherError):
        answers(wanted, output, TOKEN)


def test_rpm_says_what_is_installed_and_what_is_not() -> None:
    wanted = Wanted(packages=("ipvsadm", "gone", "unclear"))
    body = "row\tipvsadm\t1.31\t10.amzn2023\t1.31-10.amzn2023\npackage gone is not installed\nerror: db locked\n"
    output = f"\n{TOKEN} rpm\n{body}\n{TOKEN} code 2\n\n{TOKEN} end\n".encode()
    found = answers(wanted, output, TOKEN)
    assert found["rpm -q --quiet ipvsadm 2>&1"].code == 0
    assert found["rpm -q --qf '%{EVR}\\n' ipvsadm"].stdout == b"1.31-10.amzn2023\n"
    assert found["rpm -q --quiet gone 2>&1"].code == 1
    assert not [command for command in found if "unclear" in command], "rpm did not say: the host is asked"


def test_dpkg_query_that_failed_is_no_answer() -> None:
    wanted = Wanted(packages=("ipvsadm",))
    output = f"\n{TOKEN} dpkg-query\n\n{TOKEN} code 2\n\n{TOKEN} end\n".encode()
    assert answers(wanted, output, TOKEN) == {}


@pytest.mark.parametrize("asked", [{"file": ["/x"]}, {"files": "/x"}, {"files": [1]}])
def test_a_wrong_prefetch_is_named(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="PREFETCH"):
        Wanted.of(asked)  # type: ignore[arg-type]

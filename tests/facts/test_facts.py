"""Gathering: each fact is what the tool itself says, and what a target prints cannot pass for a fact."""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amigen.facts import Answer, Facts, GatherError, Wanted, gather_script, read_facts

TOKEN = "0123456789abcdef0123456789abcdef"
NASTY = 'it\'s a "file" $HOME `id` \\n | é \u2028 end'


def run(script: str) -> bytes:
    done = subprocess.run(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.stderr == b""
    return done.stdout


def gathered(wanted: Wanted, before: str = "") -> Facts:
    """Facts of this machine, gathered for real."""
    return read_facts(wanted, run(before + gather_script(wanted, TOKEN)), TOKEN)


def section(name: str, body: str, code: int = 0) -> bytes:
    return f"\n{TOKEN} {name}\n{body}\n{TOKEN} code {code}\n".encode()


def read(wanted: Wanted, *sections: bytes) -> Facts:
    return read_facts(wanted, b"".join(sections) + f"\n{TOKEN} end\n".encode(), TOKEN)


def test_files_are_as_stat_and_sha256sum_say(tmp_path: Path) -> None:
    plain, nasty, folder = tmp_path / "plain", tmp_path / NASTY, tmp_path / "folder"
    contents = {plain: b"text without an end", nasty: f"\x00\n{TOKEN[:-1]}f text 0\n".encode()}
    for path, content in contents.items():
        path.write_bytes(content)
    plain.chmod(0o640)
    folder.mkdir()
    wanted = Wanted(files=tuple(map(str, (*contents, folder, tmp_path / "missing"))))
    found = gathered(wanted).files
    assert set(found) == {str(path) for path in (*contents, folder)}
    for path, content in contents.items():
        file, stat = found[str(path)], path.stat()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert (file.mode, file.uid, file.gid, file.size) == (
            f"{stat.st_mode & 0o7777:04o}",
            str(stat.st_uid),
            str(stat.st_gid),
            len(content),
        )
        assert (file.user, file.group) == (path.owner(), path.group())
        assert file.is_file
    assert not found[str(folder)].is_file


def test_texts_settings_and_commands(tmp_path: Path) -> None:
    contents = {"empty": "", "line": "a\n", "lines": "\n\na:b\r\n\n", "no end": f"\n{TOKEN} text 1\n", NASTY: "é"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content, newline="")
    del contents["no end"]
    wanted = Wanted(
        texts=tuple(str(tmp_path / name) for name in (*contents, "missing")),
        settings=("/proc/sys/kernel/ostype", "/proc/sys/no/such"),
        commands=("printf 'out\\n\\n'; printf err >&2; exit 3", "cat", "nft --version"),
    )
    found = gathered(wanted)
    assert found.texts == {str(tmp_path / name): content for name, content in contents.items()}
    assert found.settings == {"/proc/sys/kernel/ostype": "Linux"}
    assert found.commands[wanted.commands[0]] == Answer(code=3, stdout="out\n\n", stderr="err")
    assert found.commands["cat"] == Answer(code=0), "no command may wait for input"
    assert found.answer("nft", "--version") is found.commands["nft --version"]
    assert found.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()


def test_packages_are_as_dpkg_says() -> None:
    found = gathered(Wanted(packages=("bash", "no-such-package")))
    said = subprocess.check_output(["dpkg-query", "-W", "-f", "${Version}", "bash"], text=True)
    assert found.package("bash") == (said,)
    assert found.package("no-such-package") == ()


def test_rpm_says_what_is_installed_and_what_is_not() -> None:
    wanted = Wanted(packages=("ipvsadm", "gone", "unclear"))
    body = "row\tipvsadm\t1.31-10.amzn2023\npackage gone is not installed\nerror: db locked\n"
    found = read(wanted, section("rpm", body, 2))
    assert found.package("ipvsadm") == ("1.31-10.amzn2023",)
    assert found.package("gone") == ()
    with pytest.raises(RuntimeError, match="unclear"):
        found.package("unclear")


def test_a_package_manager_that_failed_is_no_answer() -> None:
    found = read(Wanted(packages=("ipvsadm",)), section("dpkg-query", "", 2))
    with pytest.raises(RuntimeError, match="answers"):
        found.package("ipvsadm")


def test_a_package_that_was_removed_is_not_installed() -> None:
    rows = "ipvsadm\tdeinstall ok config-files\t1:1.31\nnft\thold ok installed\t1.0\n"
    found = read(Wanted(packages=("ipvsadm", "nft")), section("dpkg-query", rows))
    assert (found.package("ipvsadm"), found.package("nft")) == ((), ("1.0",))


def test_units(tmp_path: Path) -> None:
    """By a stand-in for systemctl; what the real one prints is seen where a VM is verified."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\ncase $* in\n"
        "*--failed*) echo 'c.service loaded failed failed C is down' ;;\n"
        "list-units*) printf '%s\\n' 'a.service loaded active running A' 'c.service loaded failed failed C' ;;\n"
        "is-enabled*a.service) echo enabled ;;\n"
        "*) echo 'No such file' >&2; exit 1 ;;\nesac\n"
    )
    systemctl.chmod(0o755)
    wanted = Wanted(units=("a.service", "b.service", "c.service"), modules=("ip_vs",))
    found = gathered(wanted, f"PATH={tmp_path}:$PATH\n")
    assert found.active == {"a.service": "active", "b.service": "inactive", "c.service": "failed"}
    assert found.enabled == {"a.service": "enabled", "b.service": "No such file", "c.service": "No such file"}
    assert found.failed == ("c.service loaded failed failed C is down",)


def test_no_systemctl_is_no_answer(tmp_path: Path) -> None:
    found = read(Wanted(units=("a.service",)), section("active", "", 1), section("failed", "", 1))
    assert (dict(found.active), found.failed) == ({}, None)


MACHINE = section("surroundings 0", "proc yes\ninit-root same\nsecond kthreadd\nsystemd yes\n")


def test_what_keeps_a_module_from_being_loaded_is_named_with_file_and_line() -> None:
    wanted = Wanted(modules=("ip_vs", "ip_vs_rr", "ip_vs_sh", "ip_vs_lc", "nf_conntrack"))
    lines = (
        "/etc/modprobe.d/a.conf:3:blacklist ip-vs-rr",
        "/etc/modprobe.d/a.conf:4:  install ip_vs /bin/false",
        "/proc/cmdline:1:root=/dev/vda modprobe.blacklist=xfs,ip_vs_lc,",
    )
    found = read(wanted, MACHINE, section("obstacles", "\n".join(lines))).obstacles
    assert found == {"ip_vs_rr": lines[0], "ip_vs": lines[1], "ip_vs_lc": lines[2]}


def test_a_masked_unit_keeps_every_module_from_being_loaded() -> None:
    said = "/etc/systemd/system/systemd-modules-load.service is masked"
    found = read(Wanted(modules=("ip-vs", "nf_conntrack")), section("obstacles", said)).obstacles
    assert found == {"ip_vs": said, "nf_conntrack": said}


def test_the_command_line_of_a_containers_host_is_not_the_containers() -> None:
    said = (
        section("obstacles", "/proc/cmdline:1:modprobe.blacklist=ip_vs"),
        section("options", "/proc/cmdline sets x=1"),
    )
    found = read(Wanted(modules=("ip_vs",)), *said)
    assert (found.obstacles, found.option_settings) == ({}, ())


def test_loaded_or_built_in() -> None:
    wanted = Wanted(modules=("ip_vs", "nf-conntrack", "ext4"))
    parts = [
        section("kernel 0", "6.1.0\n"),
        section("loaded 0", "ip_vs 1 0 - Live 0x0\n"),
        section("sysfs", "ip_vs\next4\n"),
    ]
    files = section("modules 6.1.0", "dep net/ip_vs.ko: net/x.ko\nmissing net/x.ko\nbuiltin net/nf_conntrack.ko\n")
    found = read(wanted, *parts, files)
    assert [found.is_loaded(module) for module in wanted.modules] == [True, True, False]
    assert found.availability("ip_vs", "6.1.0").missing == ("net/x.ko",)
    assert not found.availability("ip_vs", "6.2.0").is_available
    without_files = read(wanted, *parts, section("modules 6.1.0", "", 3))
    assert without_files.is_loaded("ext4"), "sysfs says it of a kernel that has no files"


def test_output_that_was_cut_short_is_no_output() -> None:
    wanted = Wanted(texts=("/etc/hostname",))
    output = run(gather_script(wanted, TOKEN))
    with pytest.raises(GatherError, match="cut short"):
        read_facts(wanted, output[: len(output) // 2], TOKEN)


def test_a_banner_before_it_does_not_matter() -> None:
    wanted = Wanted(settings=("/proc/sys/kernel/ostype",))
    output = b"Welcome!\nAuthorized users only.\n" + run(gather_script(wanted, TOKEN))
    assert read_facts(wanted, output, TOKEN).settings == {"/proc/sys/kernel/ostype": "Linux"}


NAMES = (
    *("loaded 0", "kernel 0", "surroundings 0", "table", "bits", "kernels 0", "persisted 0", "obstacles", "options"),
    *("enabled 9", "modules 6.1", "sysfs", "dpkg-query", "rpm", "stat", "sha256sum", "text 0", "text x", "settings"),
    *("active", "failed", "command 0", "command 99", "stderr", "code 0", "code x", "schedulers", "end", "other"),
)


@given(st.binary(max_size=300), st.lists(st.sampled_from(NAMES), max_size=8))
def test_hostile_output_is_refused_or_read(junk: bytes, names: list[str]) -> None:
    """Nothing but GatherError leaves the parser, whatever a target prints."""
    wanted = Wanted(
        modules=("ip_vs",), packages=("a",), files=("/x",), settings=("/proc/sys/a",), schedulers=("rr",), units=("u",)
    )
    output = b"".join(f"\n{TOKEN} {name}\n".encode() + junk for name in names)
    with suppress(GatherError):
        read_facts(wanted, output, TOKEN)


@pytest.mark.parametrize("asked", [{"file": ["/x"]}, {"files": "/x"}, {"files": [1]}])
def test_a_wrong_table_of_facts_is_named(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="FACTS"):
        Wanted.of(asked)  # type: ignore[arg-type]

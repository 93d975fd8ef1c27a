"""The causes of a red report, from results and from what a node said of itself."""

from __future__ import annotations

import subprocess

import pytest

from amigen.verify.cause import causes_of, evidence_script
from amigen.verify.report import Result


def failed(*ids: str, phase: str = "first boot", found: str = "not so") -> list[Result]:
    return [
        Result(id=id_, phase=phase, outcome="failed", expected=f"{id_} holds", found=found, todo="do it") for id_ in ids
    ]


LOADED = failed("test_module_loaded[ip_vs]", "test_module_loaded[ip_vs_rr]", "test_scheduler[rr]")
GATE = failed("test_unit_active[amigen-ready.service]", "test_no_failed_unit[systemd]")
# What the files say before the boot, of the same line.
BLACKLISTED = failed("test_module_persisted[ip_vs]", phase="image", found="/etc/modprobe.d/site.conf:1:blacklist ip_vs")
BLACKLIST = "skipped /etc/modprobe.d/site.conf:1:blacklist ip_vs"


@pytest.mark.parametrize(
    ("results", "evidence", "expected"),
    [
        ([], BLACKLIST, []),
        (LOADED + GATE, BLACKLIST, ["/etc/modprobe.d/site.conf:1 keeps a module from being loaded: 'blacklist ip_vs'"]),
        (BLACKLISTED + LOADED, BLACKLIST, ["/etc/modprobe.d/site.conf:1 keeps a module from being loaded"]),
        (
            [*BLACKLISTED, *failed("test_module_persisted[ip_vs_rr]", found="no file names it"), *LOADED],
            BLACKLIST,
            ["expected test_module_persisted[ip_vs_rr]", "/etc/modprobe.d/site.conf:1 keeps"],
        ),
        (
            LOADED,
            "skipped /proc/cmdline:1:modprobe.blacklist=ip_vs",
            ["the kernel command line keeps modules from being loaded"],
        ),
        (
            LOADED,
            "refused ip_vs: Key was rejected by service",
            ["the kernel refuses the module ip_vs: Key was rejected by service"],
        ),
        (LOADED, "locked kernel.modules_disabled is 1", ["the kernel loads no more modules"]),
        (LOADED + GATE, "", ["expected test_module_loaded[ip_vs] holds (and 1 more); found not so"]),
        (GATE, "gate the module ip_vs is not loaded", ["the gate is closed: the module ip_vs is not loaded"]),
        (
            GATE,
            "bootstrap no space left\ngate the bootstrap failed: no space left",
            ["the bootstrap failed: no space left"],
        ),
        (
            [*GATE, *failed("test_unit_enabled[amigen-ready.service]", found="masked")],
            "masked amigen-ready.service masked enabled\nmasked other.service masked enabled",
            ["amigen-ready.service is masked"],
        ),
        (failed("test_package[ipvsadm]") + LOADED + GATE, "gate x", ["expected test_package[ipvsadm] holds"]),
        (failed("test_file[/etc/motd]"), BLACKLIST, ["expected test_file[/etc/motd] holds"]),
        (failed("test_file[/etc/motd]") + LOADED, BLACKLIST, ["expected test_file[/etc/motd]", "/etc/modprobe.d/site"]),
        (failed("test_hygiene[logs]"), "", ["expected test_hygiene[logs] holds"]),
        (
            LOADED + failed("test_hygiene[logs]", phase="image"),
            "",
            ["expected test_module_loaded[ip_vs]", "expected test_hygiene[logs]"],
        ),
        (
            failed("test_release[web]") + LOADED,
            BLACKLIST,
            ["not built by amigen from this spec: not so", "/etc/modprobe"],
        ),
        (
            LOADED + failed("test_module_loaded[ip_vs]", phase="after a reboot"),
            "",
            ["expected test_module_loaded[ip_vs]"],
        ),
    ],
)
def test_the_cause_comes_first(results: list[Result], evidence: str, expected: list[str]) -> None:
    found = [cause.text for cause in causes_of(results, evidence)]
    assert len(found) == len(expected), found
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_a_blacklist_is_not_answered_by_modprobe() -> None:
    """What modprobe does now the next boot undoes."""
    (cause,) = causes_of(LOADED, BLACKLIST)
    assert cause.todo.startswith("remove that line")


def test_the_script_of_the_evidence_runs_anywhere() -> None:
    """On a machine without systemd, cloud-init or modules too."""
    done = subprocess.run(["sh", "-c", evidence_script(("ip_vs", "nf-conntrack"))], capture_output=True, check=False)
    assert done.stderr == b""
    assert all(line.split(b" ")[0] in (b"skipped", b"masked", b"locked") for line in done.stdout.splitlines())

"""Functions of the scripts' library, alone, on what no throw-away root can be made to say: a clock that is set in the
middle of a run, words of package managers. /proc is put into a folder; all else is as rendered.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from amigen import parse_spec, plan_image, user_data
from amigen.base.shipped import folder

# In the functions' text, so that it is the same text that is tested.
MOVED = ("/proc/uptime", "/run/amigen")


def run(place: Path, parts: tuple[str, ...], commands: str) -> str:
    """What the commands say, with the named parts of the library."""
    library = "\n".join((folder("templates") / "lib" / part).read_text(encoding="utf-8") for part in parts)
    for path in MOVED:
        library = library.replace(path, f"{place}{path}")
    # The clock of the test advances by this, and by nothing else.
    stand_ins = (
        f"pass_time() {{ read -r up _ <{place}/proc/uptime; echo $((${{up%.*}} + $1)).00 0 >{place}/proc/uptime; }}"
    )
    text = f"set -euo pipefail\n{library}\n{stand_ins}\n{commands}"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, timeout=300, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("proc", "run/amigen"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/uptime").write_text("17.42 30.00\n")
    return tmp_path


TRIES = """
version_of() { :; }
bounded() { pass_time "$3"; }
install_packages() {
  pass_time 1
  # As bash sees a wall clock that is set: it counts from there.
  SECONDS=$((SECONDS + STEP))
  echo 'E: not yet'
  return 1
}
exec 7>&1
trap 'echo "$reason"' EXIT
ensure_packages 60 ipvsadm
"""


@pytest.mark.parametrize("step", ["0", "400000000", "-400000000"])
def test_a_clock_that_is_set_changes_nothing_of_the_time_for_packages(place: Path, step: str) -> None:
    """The first time synchronisation comes in the middle of a first boot: as many tries, and the same end."""
    said = run(place, ("common.sh", "apt.sh", "packages.sh"), TRIES.replace("STEP", step)).splitlines()
    assert [line.rpartition("; ")[2] for line in said if "; again in" in line] == [
        f"again in {delay} s" for delay in (2, 4, 8, 16)
    ]
    assert said[-1] == "cannot install ipvsadm within 60 s: E: not yet"
    assert float((place / "proc/uptime").read_text().split()[0]) == 17 + 5 + 30


def test_a_name_that_another_package_provides_is_said_at_once(place: Path) -> None:
    """`dnf install vim` installs vim-enhanced, and ends with 0."""
    commands = """
version_of() { :; }
install_packages() { :; }
exec 7>&1
trap 'echo "$reason"' EXIT
ensure_packages 600 vim
"""
    said = run(place, ("common.sh", "dnf.sh", "packages.sh"), commands).splitlines()
    assert said[-1] == "no package is named vim"


MODPROBE = """
module=no_such_module
lacking() { return; }
skipped() { :; }
# With -n it says what it would do.
modprobe() { case $1 in -anv) WOULD ;; *) SAYS ;; esac; }
exec 7>&1
trap 'echo "$reason"' EXIT
echo $module >$place/list
load_modules $place/list
echo "changes: $changes"
"""


@pytest.mark.parametrize(
    ("would", "says", "end"),
    [
        ("echo 'install /bin/true'", ":", "cannot load modules: "),
        ("echo 'FATAL: not found'", "echo 'FATAL: not found'; return 1", "cannot load modules: FATAL: not found"),
        # Then there is nothing left to do.
        ("[ -e $place/loaded ] || echo insmod", "touch $place/loaded", "changes: 1"),
        (":", "echo 'must not be called'", "changes: 0"),
    ],
)
def test_a_module_is_loaded_when_it_is_there(place: Path, would: str, says: str, end: str) -> None:
    """An install line for a pattern, a module that is not there, one that is, and one that is loaded or built in."""
    commands = f"place={place}\n{MODPROBE.replace('WOULD', would).replace('SAYS', says)}"
    said = run(place, ("common.sh", "modules.sh"), commands).splitlines()
    assert any(line.startswith(end) for line in said[-2:]), said


APT_UNKNOWN = """\
Err:1 http://mirror/debian bookworm InRelease
  Could not connect to 10.0.0.1:80 (10.0.0.1). - connect (113: No route to host)
Reading package lists...
W: Failed to fetch http://mirror/debian/dists/bookworm/InRelease  Could not connect to 10.0.0.1:80
W: Some index files failed to download. They have been ignored, or old ones used instead.
Reading package lists...
E: Unable to locate package ipvsadm
"""
OTHER_SOURCE = """\
W: Failed to fetch http://extra/InRelease  Could not resolve 'extra'
W: Some index files failed to download. They have been ignored, or old ones used instead.
dpkg: error processing package ipvsadm (--configure):
 installed ipvsadm package post-installation script subprocess returned error exit status 1
Errors were encountered while processing:
 ipvsadm
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
DEBS = """\
E: Failed to fetch http://mirror/ipvsadm.deb  404  Not Found
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
"""
FULL = """\
 cannot copy extracted data for './sbin/ipvsadm' to '/sbin/ipvsadm.dpkg-new': failed to write (No space left on device)
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
DNF_OTHER = """\
Errors during downloading metadata for repository 'extra':
  - Status code: 503 for http://extra/repodata/repomd.xml
Error: Failed to download metadata for repo 'extra': Cannot download repomd.xml: All mirrors were tried
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            APT_UNKNOWN,
            "Failed to fetch http://mirror/debian/dists/bookworm/InRelease  Could not connect to 10.0.0.1:80; "
            "E: Unable to locate package ipvsadm",
        ),
        (
            OTHER_SOURCE,
            "Failed to fetch http://extra/InRelease  Could not resolve 'extra'; "
            "E: Sub-process /usr/bin/dpkg returned an error code (1)",
        ),
        (
            DEBS,
            "Failed to fetch http://mirror/ipvsadm.deb  404  Not Found; "
            "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?",
        ),
        (FULL, "No space left on device); E: Sub-process /usr/bin/dpkg returned an error code (1)"),
        (
            DNF_OTHER,
            "Status code: 503 for http://extra/repodata/repomd.xml; "
            "Error: Failed to download metadata for repo 'extra': Cannot download repomd.xml: All mirrors were tried",
        ),
        ("something else", "something else"),
    ],
)
def test_the_reason_is_the_line_that_helps(place: Path, output: str, reason: str) -> None:
    """Of all that a package manager says; the cause before what came of it."""
    (place / "out").write_text(output)
    commands = f"""
version_of() {{ :; }}
install_packages() {{ cat {place}/out; return 1; }}
exec 7>&1
trap 'echo "$reason"' EXIT
ensure_packages 1 ipvsadm
"""
    family = "dnf.sh" if output is DNF_OTHER else "apt.sh"
    said = run(place, ("common.sh", family, "packages.sh"), commands).splitlines()
    assert said[-1] == f"cannot install ipvsadm within 1 s: {reason}"


@pytest.mark.parametrize(("gate", "most"), [(False, 7_168), (True, 9_216)])
def test_the_smallest_user_data_stays_small(gate: bool, most: int) -> None:
    """Bytes of the five-line spec, comments and MIME included; EC2 takes 16,384."""
    spec = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "ipvs-nodes", "kubernetesVersion": "1.34"}
    plan = plan_image(parse_spec({**spec, "platforms": ["al2023"], "gate": gate}), "al2023")
    assert len(user_data(plan)) <= most

"""How a run ends: stopped by a signal, killed, failed before there is a gate; and what that means at the next boot.

The rendered scripts, unchanged but for the place where they are killed, in a bare root. systemctl is a stand-in that
keeps its calls: what systemd makes of them is shown in `test_gate_vm.py` and `test_nodeadm_vm.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.checks.model import RELEASE_PATH
from amigen.plan.gate import SCRIPT_PATH
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from tests.properties.throwaway import BareRoot, bare_root

pytestmark = pytest.mark.slow

HELD = "run/systemd/system/{}.d/10-amigen-ready.conf"
UNITS = ("nodeadm-run.service", "kubelet.service")
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>/run/systemctl
"""
# Whether a kubelet that does not crash-loop runs.
PGREP = "#!/bin/sh\ntest -e /run/kubelet-runs\n"
# What systemd asks before it starts the unit, as a shell command; `%n` is its name.
ASKED = "sed -n 's/^ExecCondition=+//p' /etc/systemd/system/{0}.d/10-amigen-ready.conf | sed 's/%n/{0}/' | sh"
EKS = {
    "name": "web",
    "apiServerEndpoint": "https://example.com",
    "certificateAuthority": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==",
    "serviceCIDR": "10.100.0.0/16",
}


def plan(platform: Any = "al2023", **spec: Any) -> ImagePlan:
    base = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "ends", "kubernetesVersion": "1.34"}
    given = {**base, "platforms": [platform], "gate": True, "kubeProxy": {"mode": "iptables"}, **spec}
    return plan_image(parse_spec(given), platform)


def hook(script: str, when: str = "before", run: str = "once") -> dict[str, Any]:
    return {"hooks": {when: [{"name": "mine", "script": script, "run": run}]}}


@pytest.fixture
def root() -> Iterator[BareRoot]:
    """A bare Amazon Linux 2023 on which systemd seems to run."""
    with bare_root("al2023") as made:
        (made.folder / "run/systemd/system").mkdir(parents=True)
        (made.folder / "usr-local/bin").mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("pgrep", PGREP)):
            (made.folder / "usr-local/bin" / name).write_text(text)
            (made.folder / "usr-local/bin" / name).chmod(0o755)
        yield made


def run(root: BareRoot, made: ImagePlan, code: int = 0) -> str:
    """Its last line."""
    done = root.run(bootstrap_script(made, user_data=True))
    assert done.returncode == code, done.stdout
    return done.stdout.splitlines()[-1]


def joins(root: BareRoot) -> bool:
    """Whether the gate opens at the next boot, when /run is empty; the modules of this machine are left out."""
    said = root.run(f"rm -rf /run/amigen; bash {SCRIPT_PATH} 2>&1").stdout.splitlines()[-1]
    closed = said.startswith("amigen-ready: this node is NOT ready: the bootstrap has not run to its end")
    assert closed or "the module nf_conntrack is not loaded" in said or "this node is ready" in said
    return not closed


def test_a_kubelet_that_runs_may_be_started_again_at_any_time(root: BareRoot) -> None:
    """While a run works and after it failed; one that does not run is held, and noted."""
    question = ASKED.format("kubelet.service")
    asks = f"if {question} 2>/dev/null; then echo starts; else echo held; fi >>/run/seen\nexit 1"
    for runs, answer in ((False, "held"), (True, "starts")):
        if runs:
            (root.folder / "run/kubelet-runs").touch()
        assert run(root, plan(**hook(asks, run="always")), code=1) == "amigen: FAILED: the hook mine ended with code 1"
        assert (root.folder / "run/seen").read_text().splitlines()[-1] == answer
        assert root.run(f"{question} 2>&1").returncode == (0 if runs else 1)
    assert set((root.folder / "run/amigen-held").read_text().splitlines()) == {"kubelet.service"}


def test_a_baked_node_whose_run_fails_at_once_is_not_ready(root: BareRoot) -> None:
    """Here as there is a folder in place of the lock; the image's release.json is no answer."""
    bake(root, plan())
    (root.folder / "run/amigen/lock").mkdir()
    assert run(root, plan(), code=1).startswith("amigen: FAILED: ")
    assert not joins(root)


def asked(root: BareRoot) -> list[str]:
    """The calls of systemctl."""
    calls = root.folder / "run/systemctl"
    return calls.read_text().splitlines() if calls.exists() else []


def bake(root: BareRoot, made: ImagePlan) -> None:
    """An image, and the first boot of a node of it."""
    run(root, made)
    # The hygiene step would go through all of this machine's programs; this is its last act here.
    (root.folder / "var/lib/amigen/baked").touch()
    for path in ("run/amigen/lock", "run/systemctl"):
        (root.folder / path).unlink(missing_ok=True)


# Sends a signal to the run while its hook is at work, and says what is left of it.
DRIVER = """\
set -m
bash /run/bootstrap.sh &
pid=$!
until [ -e /run/at-work ]; do sleep 0.05; done
kill -s {name} "$pid"
wait "$pid"
echo "code $?"
flock -n /run/amigen/lock echo 'the lock is free'
for dir in /proc/[0-9]*; do tr '\\0' ' ' <"$dir/cmdline" 2>/dev/null; echo; done | grep -c '^sleep 987'
"""


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT"])
def test_a_signal_ends_the_run_and_its_hook(root: BareRoot, name: str) -> None:
    """The reason is in the last line, the code is 143, the hook has ended, and the gate stays closed."""
    slow = "#!/bin/sh\ntouch /run/at-work\nsleep 987\nsleep 987\n"
    (root.folder / "run/bootstrap.sh").write_text(bootstrap_script(plan(**hook(slow)), user_data=True))
    lines = root.run(DRIVER.format(name=name)).stdout.splitlines()
    assert lines[-4:] == ["amigen: FAILED: stopped by a signal", "code 143", "the lock is free", "0"]
    assert "daemon-reload" in asked(root)
    assert not joins(root)


def test_a_signal_ends_the_package_manager(root: BareRoot) -> None:
    """With a stand-in for dnf that never ends: it is ended, though `timeout` gives it a process group of its own."""
    dnf = root.folder / "usr-local/bin/dnf"
    dnf.write_text("#!/bin/sh\ntouch /run/at-work\nsleep 987\nsleep 987\n")
    dnf.chmod(0o755)
    rpm = root.folder / "usr-local/bin/rpm"
    rpm.write_text("#!/bin/sh\nexit 1\n")
    rpm.chmod(0o755)
    made = plan(packages=[{"name": "something"}])
    (root.folder / "run/bootstrap.sh").write_text(bootstrap_script(made, user_data=True))
    lines = root.run(DRIVER.format(name="TERM")).stdout.splitlines()
    assert lines[-4:] == ["amigen: FAILED: stopped by a signal", "code 143", "the lock is free", "0"]


def test_a_failed_run_on_a_baked_image_is_not_forgotten(root: BareRoot) -> None:
    """The image's own mark of success opens no gate for a run that failed; a run that ends well opens it."""
    bake(root, plan())
    assert joins(root)
    last = run(root, plan(**hook("exit 3")), code=1)
    assert last == "amigen: FAILED: the hook mine ended with code 3"
    assert not joins(root)
    # Its release is written anew.
    assert run(root, plan()) == "amigen: ready: 1 changes"
    assert joins(root)


def kill(root: BareRoot, made: ImagePlan, at: str, *, then: str = "") -> None:
    """SIGKILL to the run where its script says `at`."""
    script = bootstrap_script(made, user_data=True)
    assert at in script
    (root.folder / "run/bootstrap.sh").write_text(script.replace(at, f"kill -KILL $${then}", 1))
    # In a process of its own: the first of a process namespace takes no SIGKILL from inside.
    assert root.run("bash /run/bootstrap.sh\necho code $?\n").stdout.splitlines()[-1] == "code 137"


@pytest.mark.parametrize(
    "where",
    ['bounded 0 "${@:6}"', 'os=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}")'],
    ids=["a hook", "a first look"],
)
def test_a_killed_run_on_a_baked_image_is_not_forgotten(root: BareRoot, where: str) -> None:
    """SIGKILL while a hook works, or before anything was changed."""
    bake(root, plan())
    kill(root, plan(**hook("exit 0")), where)
    assert not joins(root)
    assert not joins(root)
    assert run(root, plan()) == "amigen: ready: 1 changes"
    assert joins(root)
    assert not (root.folder / "var/lib/amigen/baked").exists()


def test_a_killed_change_of_a_node_is_not_forgotten(root: BareRoot) -> None:
    """A later run, of another spec, is killed after its first change: the node is neither the one nor the other."""
    run(root, plan())
    kill(root, plan(files=[{"path": "/etc/first", "content": "1\n"}]), 'rmdir "$new"')
    assert (root.folder / "etc/first").exists()
    assert not joins(root)


def test_a_killed_change_of_a_file_leaves_nothing_of_it_in_effect(root: BareRoot) -> None:
    """SIGKILL when the new file is written and the older one is still there."""
    name = "/etc/modules-load.d/mine.conf"
    older, newer = (plan(files=[{"path": name, "content": f"# {n}\n"}]) for n in range(2))
    run(root, older)
    kill(root, newer, 'mv -fT file "$path"')
    assert (root.folder / name[1:]).read_text() == "# 0\n"
    run(root, newer)
    assert (root.folder / name[1:]).read_text() == "# 1\n"
    assert not list((root.folder / "etc/modules-load.d").glob("*before-amigen*"))


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ('mv -fT "$new" "$path"', "usr-local/lib/amigen/ready.amigen.??????"),
        ('mv -fT file "$path"', "etc/modules-load.d/.amigen.??????"),
    ],
    ids=["amigen's", "the user's"],
)
def test_nobody_can_guess_the_name_of_a_new_file(root: BareRoot, at: str, left: str) -> None:
    """And what a SIGKILL leaves of it is gone after the next run."""
    made = plan(files=[{"path": "/etc/modules-load.d/mine.conf", "content": "# mine\n"}])
    names = set()
    for _ in range(2):
        kill(root, made, at)
        [name] = root.folder.glob(left)
        names.add(name)
    assert len(names) == 2
    run(root, made)
    assert not [*root.folder.rglob("*.amigen.*")]


@pytest.mark.parametrize("end", [">&-", ">&- 2>&-", "| true", "2>&1 | head -n 1 >/dev/null"])
@pytest.mark.parametrize("code", [0, 1])
def test_messages_that_nobody_takes_stop_nothing(root: BareRoot, end: str, code: int) -> None:
    """stdout closed, stderr too, or a reader that went away: the run ends as it would, and does all that it would."""
    # Its words come after the reader has gone.
    script = "sleep 1; for n in $(seq 50); do echo word $n; done; exit " + str(code)
    made = plan(**hook(f"#!/bin/sh\ntrap '' PIPE\n{script}\n"))
    (root.folder / "run/bootstrap.sh").write_text(bootstrap_script(made, user_data=True))
    said = root.run(f'{{ bash /run/bootstrap.sh; echo "$?" >/run/code; }} {end}\n').stdout
    assert (root.folder / "run/code").read_text() == f"{code}\n", said
    assert joins(root) == (code == 0)


@pytest.mark.parametrize("how", ["true", "echo text >/dev/null"], ids=["gone", "a plain file"])
def test_the_run_needs_no_dev_null(root: BareRoot, how: str) -> None:
    """Gone, or a plain file that a program wrote in its place."""
    (root.folder / "run/bootstrap.sh").write_text(bootstrap_script(plan(), user_data=True))
    said = root.run(f"umount /dev/null; rm -f /dev/null; {how}; bash /run/bootstrap.sh; echo code $?").stdout
    assert "amigen: ready: " in said
    assert said.endswith("code 0\n")
    assert joins(root)


def test_a_later_run_that_changes_nothing_leaves_the_gate_alone(root: BareRoot) -> None:
    """On a node that runs: nothing is written, closed or read anew, also where the run fails at a mere look."""
    run(root, plan())
    (root.folder / "run/kubelet-runs").touch()
    (root.folder / "run/systemctl").unlink()
    before = {path: file.lstat().st_ctime_ns for path, file in root.files().items() if not path.startswith("/run/")}
    assert run(root, plan()).startswith("amigen: ready: 0 changes")
    last = run(root, plan("ubuntu-24.04"), code=1)
    assert "this script is for ubuntu 24.04" in last
    after = {path: file.lstat().st_ctime_ns for path, file in root.files().items() if not path.startswith("/run/")}
    assert before == after
    assert not any(call.startswith("stop") for call in asked(root))
    assert joins(root)


def spoil(root: BareRoot, what: str) -> ImagePlan:
    """A fault before there is a gate."""
    if what == "state":
        (root.folder / "var/lib/amigen").write_text("a file, where a folder is to be\n")
    elif what == "gate":
        (root.folder / "etc/systemd/system/amigen-ready.service").mkdir(parents=True)
    return plan("ubuntu-24.04" if what == "platform" else "al2023")


@pytest.mark.parametrize("what", ["state", "platform", "gate"])
def test_what_fails_before_there_is_a_gate_fails_closed(root: BareRoot, what: str) -> None:
    """The units that start kubelet are held by their drop-ins, which systemd has read."""
    made = spoil(root, what)
    assert run(root, made, code=1).startswith("amigen: FAILED: ")
    units = UNITS if what != "platform" else ("snap.kubelet-eks.daemon.service", "kubelet.service")
    for unit in units:
        assert "\nExecCondition=+/bin/sh -c " in (root.folder / HELD.format(unit)).read_text()
    assert "daemon-reload" in asked(root)
    assert not (root.folder / RELEASE_PATH[1:]).exists()


def test_a_run_that_was_killed_before_systemd_read_the_gate_is_made_up_for(root: BareRoot) -> None:
    """The files stand, systemd does not know them: the next run enables the unit, which ends with a daemon-reload."""
    kill(root, plan(), "systemctl -q enable amigen-ready.service")
    (root.folder / "run/systemctl").unlink(missing_ok=True)
    run(root, plan())
    assert "-q enable amigen-ready.service" in asked(root)


def test_a_signal_while_the_node_joins_closes_the_gate() -> None:
    """The script of Ubuntu works while the gate is open; the run that is stopped then leaves it closed."""
    with bare_root("ubuntu-24.04") as root:
        program = root.folder / "etc/eks/bootstrap.sh"
        program.write_text("#!/bin/sh\ntest -e /run/amigen/open && touch /run/at-work\nsleep 987\nsleep 987\n")
        made = plan("ubuntu-24.04", join={"eks": EKS})
        (root.folder / "run/bootstrap.sh").write_text(bootstrap_script(made, user_data=True))
        lines = root.run(DRIVER.format(name="TERM")).stdout.splitlines()
        assert lines[-4:] == ["amigen: FAILED: stopped by a signal", "code 143", "the lock is free", "0"]
        assert not (root.folder / "run/amigen/open").exists()
        assert not joins(root)


def test_the_join_of_ubuntu_is_made_once() -> None:
    """A second run with the same arguments leaves kubelet alone; others are a change; a failed join is tried again."""
    with bare_root("ubuntu-24.04") as root:
        calls = root.folder / "run/joins"
        program = root.folder / "etc/eks/bootstrap.sh"
        question = ASKED.format("snap.kubelet-eks.daemon.service")
        program.write_text(f'#!/bin/sh\necho "$*" >>/run/joins\n{question} || exit 9\ntest ! -e /run/broken\n')
        made = plan("ubuntu-24.04", join={"eks": EKS})
        (root.folder / "run/broken").touch()
        assert run(root, made, code=1) == "amigen: FAILED: /etc/eks/bootstrap.sh ended with code 1"
        assert not joins(root)
        (root.folder / "run/broken").unlink()
        # Its release, too.
        assert run(root, made) == "amigen: ready: 2 changes"
        assert joins(root)
        assert run(root, made).startswith("amigen: ready: 0 changes")
        assert len(calls.read_text().splitlines()) == 2
        other = plan("ubuntu-24.04", join={"eks": {**EKS, "kubelet": {"maxPods": 42}}})
        assert run(root, other).startswith("amigen: ready: ")
        assert len(calls.read_text().splitlines()) == 3


@pytest.mark.parametrize("held", ["", "kubelet.service"])
def test_a_run_without_a_gate_removes_an_earlier_one(root: BareRoot, held: str) -> None:
    """What was held is started; nothing held, or a unit that cannot be started, fails no run."""
    run(root, plan())
    if held:
        (root.folder / "run/amigen-held").write_text(f"{held}\n")
    (root.folder / "usr-local/bin/systemctl").write_text(f"{SYSTEMCTL}case $* in start*) exit 1 ;; esac\n")
    assert run(root, plan(gate=False)).startswith("amigen: ready: ")
    assert not [*root.folder.rglob("10-amigen-ready.conf")]
    assert (f"start --no-block {held}" in asked(root)) == bool(held)


def test_a_unit_that_was_held_and_then_masked_does_not_close_the_gate(root: BareRoot) -> None:
    """It cannot be started any more: that is an administrator's decision, and the node is ready all the same."""
    run(root, plan())
    stand_in = root.folder / "usr-local/bin/systemctl"
    stand_in.write_text(f"{SYSTEMCTL}case $* in start*) exit 1 ;; esac\n")
    (root.folder / "run/amigen-held").write_text("kubelet.service\n")
    # The modules of this machine's own kernel are not in question.
    script = root.run(f"cat {SCRIPT_PATH}").stdout
    done = root.run("PATH=/usr/local/bin:$PATH\n" + re.sub(r"(?ms)^for module in .*?^done$", "", script))
    assert (done.returncode, done.stdout.splitlines()[-1][:34]) == (0, "amigen-ready: this node is ready f")
    assert "start --no-block kubelet.service" in asked(root)
    assert not (root.folder / "run/amigen-held").exists()

"""Verifying over ssh: against a bare connection, and of many hosts side by side.

The hosts of `rows` are one unpacked root behind sshd on addresses of the loopback (tests.verify.ssh_hosts): stand-ins
whose work is done by the very processors that measure, and without a kernel of their own. That of `vm_rows` is a real
node in a VM, booted from a built image (tests.verify.images); where KVM does not work, its processor is emulated.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.userdata.make import user_data
from amigen.vm import Machine, VmImage, scratch
from amigen.vm.acceleration import probe
from amigen.vm.ssh import SshTarget
from tests.bench.node import MODULES
from tests.bench.row import Row, in_turn
from tests.verify.good_root import good_root
from tests.verify.images import SPEC, built_image, proof_plan
from tests.verify.ssh_hosts import SshHosts, ssh_hosts

MANY = (1, 10, 50)


def rows() -> Iterator[Row]:
    """On the loopback: one host against a bare connection; 1, 10 and 50 hosts."""
    with good_root() as good, ssh_hosts(good.root, max(MANY)) as hosts, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.yaml").write_text(SPEC.replace("debian-12", "ubuntu-24.04"))
        options = [word for option in hosts.options for word in ("--ssh-option", option)]
        verify = [*_verify(folder), "--allow-unproven", "--identity", str(hosts.key), *options]
        one = [*verify, hosts.targets[0]]
        values = in_turn(one, _bare(hosts), runs=9)
        yield Row(what="verify a loopback host, all of the process / bare ssh", values=values, aim=2.5)
        yield from _many(verify, hosts, "")
        # Without the key exchange of OpenSSH 9.0 to 9.8, sntrup761, that takes most of a client's time.
        quick = "KexAlgorithms=^curve25519-sha256"
        yield from _many([*verify, "--ssh-option", quick], hosts, ", key exchange curve25519", "-o", quick)
        yield from _fleet([*_verify(folder), "--allow-unproven"], f"chroot://{good.root}")


def _many(verify: list[str], hosts: SshHosts, how: str, *ssh: str) -> Iterator[Row]:
    one = [*verify, hosts.targets[0]]
    for count in MANY[1:]:
        values = in_turn([*verify, *hosts.targets[:count]], one, runs=5)
        aim = 3 if count == max(MANY) else None
        yield Row(what=f"verify {count} loopback hosts / one of them{how}", values=values, aim=aim)
    every = "".join(f"{shlex.join(_bare(hosts, target, *ssh))} & " for target in hosts.targets)
    values = in_turn(["sh", "-c", f"{every} wait"], one, runs=5)
    yield Row(what=f"{max(MANY)} bare ssh connections at once / verify one host{how}", values=values)
    values = _own_share([*verify, *hosts.targets], one)
    # ssh's own part is the larger one with its default key exchange.
    limit, aim = (3, None) if how else (None, 3)
    what = f"verify {max(MANY)} hosts / one, computed: our processor time{how}"
    yield Row(what=what, values=values, at_most=limit, aim=aim)


def _fleet(verify: list[str], target: str) -> Iterator[Row]:
    """Memory of a fleet: one root asked many times over a local connection stands in for its hosts."""

    def kib(count: int) -> int:
        process = subprocess.Popen([*verify, *[target] * count], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_maxrss

    one, some, all_ = kib(1), kib(100), kib(1000)
    each = (all_ - one) / 999
    yield Row(what="memory per host, 1,000 local connections / 100", values=(each / ((some - one) / 99),), at_most=1.2)
    yield Row(what="memory that each of 1,000 local connections adds", values=(each,), unit=" KiB", at_most=400)


def _own_share(many: list[str], one: list[str], runs: int = 5) -> tuple[float, ...]:
    """What many hosts take at least when theirs is another processor than ours: all of our processors' time, ssh's
    included and sshd's not, over that of a run on one host.
    """

    def measured(command: list[str]) -> tuple[float, float]:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall

    cpus = len(os.sched_getaffinity(0))
    return tuple(measured(many)[0] / cpus / measured(one)[1] for _ in range(runs))


def _verify(folder: Path) -> list[str]:
    return [sys.executable, "-m", "amigen", "verify", str(folder / "spec.yaml")]


def _bare(hosts: SshHosts, target: str = "", *options: str) -> list[str]:
    host, port = (target or hosts.targets[0]).removeprefix("ssh://").rsplit(":", 1)
    return ["ssh", *options, *hosts.arguments, "-p", port, host, "true"]


def vm_rows() -> Iterator[Row]:
    """In a VM: a whole verification against its boots by hand; the suite against a bare connection."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = proof_plan(folder, SPEC)
        image = built_image(plan, log=_quiet)
        verify = [*_verify(folder), str(image.disk)]
        by_hand = [sys.executable, "-m", "tests.bench.verify", str(image.disk)]
        yield Row(
            what="verify an image: boot, checks, reboot, checks / the boots by hand",
            values=in_turn(verify, by_hand, runs=3, warm=False),
            at_most=1.1,
        )
        with _node(plan, image) as node:
            # As the VM itself has tried: KVM may answer, and not run this kernel.
            yield from _node_rows(plan, folder, node, kvm=probe(image.architecture, image.kernel).name == "kvm")


def _node_rows(plan: ImagePlan, folder: Path, node: SshTarget, *, kvm: bool) -> Iterator[Row]:
    target = f"ssh://{node.user}@{node.host}:{node.port}"
    known = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
    options = [word for option in known for word in ("-o", option)]
    where = ["-p", str(node.port), f"{node.user}@{node.host}"]
    bare = ["ssh", "-F", "none", "-i", str(node.key), *options, *where, "true"]
    verify = [*_verify(folder), target, "--identity", str(node.key)]
    verify += [word for option in known for word in ("--ssh-option", option)]
    # An emulated processor takes 20 to 90 ms to start a program: that is measured then, and not the connection.
    limit, aim = (2.5, None) if kvm else (None, 2.5)
    values = in_turn(verify, bare, runs=7)
    yield Row(what="verify a node in a VM / bare ssh, one command", values=values, at_most=limit, aim=aim)
    yield from _boot_cost(plan, node)
    if shutil.which("ansible-playbook"):
        values = in_turn(_ansible(folder, node, known), verify, runs=3, warm=False)
        yield Row(what="Ansible in check mode / verify, a node in a VM", values=values, at_least=1)


def _boot_cost(plan: ImagePlan, node: SshTarget) -> Iterator[Row]:
    """What the user data costs each boot of a prepared node, measured in the guest."""
    done = node.run("cat > /dev/shm/user-data.sh", stdin=bootstrap_script(plan, user_data=True))
    assert done.returncode == 0, done.stderr
    ours = _in_guest(node, "bash /dev/shm/user-data.sh")
    bare = _in_guest(node, f"modprobe -a {MODULES} nf_conntrack")
    ratios = tuple(a / b for a, b in zip(ours, bare, strict=True))
    yield Row(what="prepared node in a VM: user data / a bare modprobe -a", values=ratios, aim=1.2)
    yield Row(what="prepared node in a VM: user data, milliseconds", values=ours, unit=" ms")
    yield Row(what="prepared node in a VM: a bare modprobe -a, milliseconds", values=bare, unit=" ms")


def _in_guest(node: SshTarget, command: str, runs: int = 9) -> tuple[float, ...]:
    """Milliseconds of each run, after one that does not count."""
    loop = (
        f"for n in $(seq {runs + 1}); do a=${{EPOCHREALTIME/./}}; {command} >/dev/null 2>&1 </dev/null || exit 1; "
        "b=${EPOCHREALTIME/./}; echo $((b - a)); done"
    )
    done = node.run(f"sudo -n bash -c {shlex.quote(loop)}", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return tuple(int(line) / 1000 for line in done.stdout.split()[1:])


PLAYBOOK = f"""\
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.apt: {{name: ipvsadm}}
    - ansible.builtin.copy:
        dest: /etc/modules-load.d/ipvs.conf
        content: "{MODULES.replace(" ", chr(92) + "n")}{chr(92)}nnf_conntrack{chr(92)}n"
    - community.general.modprobe: {{name: "{{{{ item }}}}"}}
      loop: [{MODULES.replace(" ", ", ")}, nf_conntrack]
    - ansible.builtin.command: cat /sys/module/ip_vs/parameters/conn_tab_bits
      check_mode: false
      changed_when: false
    - ansible.posix.sysctl: {{name: net.core.somaxconn, value: "4096"}}
"""


def _ansible(folder: Path, node: SshTarget, options: Sequence[str]) -> list[str]:
    """A playbook that looks at less than the suite does: package, modules file, modules, table size, a sysctl."""
    # The image was left without package lists.
    apt = "sudo -n apt-get -o DPkg::Lock::Timeout=300 -q"
    done = node.run(f"{apt} update && {apt} install -y python3-apt", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "playbook.yaml").write_text(PLAYBOOK)
    (folder / "hosts.ini").write_text(
        f"node ansible_host={node.host} ansible_port={node.port} ansible_user={node.user} "
        f"ansible_ssh_private_key_file={node.key} ansible_python_interpreter=/usr/bin/python3\n"
    )
    arguments = " ".join(f"-o {option}" for option in options)
    command = ["env", "ANSIBLE_PIPELINING=1", "ansible-playbook", "--check", "-i", str(folder / "hosts.ini")]
    return [*command, f"--ssh-common-args={arguments}", str(folder / "playbook.yaml")]


@contextmanager
def _node(plan: ImagePlan, image: VmImage) -> Iterator[SshTarget]:
    with scratch("bench") as work, Machine(image, work=work, user="debian", user_data=user_data(plan)) as machine:
        machine.wait_for_ssh()
        machine.ssh.wait_until_booted()
        yield machine.ssh


def boots_by_hand(disk: Path) -> None:
    """What a verification waits for, and nothing else: a boot with user data, and a reboot."""
    with tempfile.TemporaryDirectory() as name, scratch("hand") as work:
        plan = proof_plan(Path(name), SPEC)
        with Machine(VmImage.at(disk), work=work, user="debian", user_data=user_data(plan)) as machine:
            machine.wait_for_ssh()
            machine.ssh.wait_until_booted()
            machine.reboot()
            machine.ssh.wait_until_booted()


def _quiet(_line: str) -> None:
    pass


if __name__ == "__main__":
    boots_by_hand(Path(sys.argv[1]))

"""What making a node ready costs, in throw-away roots: ours against bare commands, Ansible and plain cloud-config.

A root of this machine's distribution and apt; nothing is loaded in it, on either side.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from amigen import parse_spec, plan_image, user_data
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.values import Platform
from tests.bench.row import Row, ratios
from tests.testbed.roots import apt_root, chroot, mounted

RUNS = 5
MODULES = "ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_sh ip_vs_dh ip_vs_sed ip_vs_nq"
BARE = f"""\
set -e
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ipvsadm
printf '%s\\n' {MODULES} nf_conntrack > /etc/modules-load.d/ipvs.conf
"""
PLAYBOOK = f"""\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.apt: {{name: ipvsadm, update_cache: true, install_recommends: false}}
    - ansible.builtin.copy:
        dest: /etc/modules-load.d/ipvs.conf
        content: "{MODULES.replace(" ", chr(92) + "n")}{chr(92)}nnf_conntrack{chr(92)}n"
"""
CLOUD_CONFIG = f"""\
#cloud-config
package_update: true
packages: [ipvsadm]
write_files:
  - path: /etc/modules-load.d/ipvs.conf
    content: "{MODULES.replace(" ", chr(92) + "n")}{chr(92)}nnf_conntrack{chr(92)}n"
runcmd: ["true"]
"""


def rows() -> Iterator[Row]:
    """Stock and prepared roots; nothing where this is not root, or Ansible is not there."""
    if os.geteuid() != 0:
        return
    plan = _plan("ubuntu-24.04")
    for gate, most in ((False, 7 << 10), (True, 9 << 10)):
        size = len(user_data(_plan("al2023", gate=gate)))
        what = f"user data of the smallest spec {'with' if gate else 'without'} the gate, bytes"
        yield Row(what=what, values=(size,), unit=" B", at_most=most)
    ours = _script(bootstrap_script(plan, user_data=True))
    yield Row(what="stock root: user data / the mission's bare commands", values=_pairs(ours, _script(BARE)), aim=1.2)
    if shutil.which("ansible-playbook"):
        values = _pairs(ours, _ansible, packages=("python3", "python3-apt"))
        yield Row(what="stock root: user data / the same as an Ansible playbook", values=values, aim=1)
    yield Row(
        what="stock root: user data / plain cloud-config, both by cloud-init",
        values=_pairs(
            _cloud_init(bootstrap_script(plan, user_data=True)), _cloud_init(CLOUD_CONFIG), packages=("cloud-init",)
        ),
        aim=1.2,
    )
    yield Row(what="prepared root: user data, milliseconds", values=_prepared(plan), unit=" ms")


def _plan(platform: Platform, **spec: object) -> ImagePlan:
    base = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "bench", "kubernetesVersion": "1.34"}
    return plan_image(parse_spec({**base, "platforms": [platform], **spec}), platform)


Run = Callable[[Path], None]


def _pairs(a: Run, b: Run, packages: tuple[str, ...] = ()) -> tuple[float, ...]:
    """The time of A over that of B, each in a fresh root, pair by pair."""
    return ratios(lambda: _fresh(a, packages), lambda: _fresh(b, packages), runs=RUNS)


def _fresh(run: Run, packages: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory(prefix="amigen-bench-") as folder:
        root = apt_root(Path(folder) / "root", log=lambda _line: None, packages=packages)
        with mounted(root):
            started = time.perf_counter()
            run(root)
            took = time.perf_counter() - started
            assert (root / "usr/sbin/ipvsadm").exists()
            assert "ip_vs_nq\n" in (root / "etc/modules-load.d/ipvs.conf").read_text()
        return took


def _script(text: str) -> Run:
    def run(root: Path) -> None:
        (root / "root/script.sh").write_text(text)
        _quiet(chroot(root, "bash", "/root/script.sh"))

    return run


def _cloud_init(user_data: str) -> Run:
    """The four stages of a boot, one after the other."""

    def run(root: Path) -> None:
        seed = root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "user-data").write_text(user_data)
        (seed / "meta-data").write_text("instance-id: i-bench\n")
        (root / "etc/cloud/cloud.cfg.d/99-bench.cfg").write_text(
            # A minimal root knows no locales.
            "datasource_list: [NoCloud]\nnetwork: {config: disabled}\nlocale: false\n"
            "apt: {preserve_sources_list: true}\n"
        )
        for stage in ("init --local", "init", "modules --mode=config", "modules --mode=final"):
            _quiet(chroot(root, "cloud-init", *stage.split()))

    return run


def _ansible(root: Path) -> None:
    playbook = root.parent / "playbook.yaml"
    playbook.write_text(PLAYBOOK)
    _quiet(["ansible-playbook", "-i", f"{root},", "-c", "community.general.chroot", str(playbook)])


def _prepared(plan: ImagePlan) -> tuple[float, ...]:
    """The second run, which has nothing to do."""
    with tempfile.TemporaryDirectory(prefix="amigen-bench-") as folder:
        root = apt_root(Path(folder) / "root", log=lambda _line: None)
        with mounted(root):
            run = _script(bootstrap_script(plan, user_data=True))
            run(root)
            times = []
            for _ in range(RUNS * 3):
                started = time.perf_counter()
                run(root)
                times.append((time.perf_counter() - started) * 1000)
        return tuple(times)


def _quiet(command: list[str]) -> None:
    environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "AMIGEN_NO_KERNEL": "1", "HOME": "/root"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

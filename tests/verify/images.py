"""A built image for the tests: the built-in base, made ready by the rendered scripts over ssh, as in a Packer build.

Cached by its inputs. It proves what the rendered scripts do on Debian 12; it is not an image that Packer wrote.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script, hygiene_script
from amigen.spec.load import load_spec
from amigen.vm import Machine, VmImage, built_in_base, scratch
from amigen.vm.cache import cache_key, cached
from tests.testbed.guest import power_off

SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: proof
kubernetesVersion: "1.34"
platforms: [debian-12]
kubeProxy:
  mode: ipvs
  ipvs:
    connTabBits: 16
gate: true
sysctls:
  net.core.somaxconn: 4096
files:
  - path: /etc/motd
    content: |
      This node was made by amigen.
hooks:
  after:
    - name: greet
      script: echo "hello from a hook"
"""
RECIPE = 1


def proof_plan(folder: Path, text: str = SPEC) -> ImagePlan:
    """The plan of the spec above; the spec is written to the folder."""
    path = folder / "spec.yaml"
    path.write_text(text)
    return plan_image(load_spec(path), "debian-12")


def built_image(plan: ImagePlan, log: Callable[[str], None] = print) -> VmImage:
    """The image of this plan, made now or taken from the cache."""
    base = built_in_base("debian-12", "x86_64", log=log)
    scripts = {
        "bootstrap.sh": bootstrap_script(plan, user_data=False),
        "hygiene.sh": hygiene_script(plan),
    }
    key = cache_key("image", [RECIPE, base.digest, scripts])

    def make(folder: Path) -> None:
        with scratch("image") as work, Machine(base.image, work=work, user=base.user, log=log) as machine:
            machine.wait_for_ssh()
            machine.run("systemctl is-system-running --wait", timeout=600)
            for name, text in scripts.items():
                # In memory, so that the script itself is not left in the image.
                file = f"/dev/shm/{name}"
                done = machine.run(f"cat > {file} && sudo -n bash {file} </dev/null", stdin=text, timeout=900)
                assert done.returncode == 0, done.stdout + done.stderr
            power_off(machine)
            disk = folder / "disk.qcow2"
            subprocess.run(["qemu-img", "convert", "-q", "-O", "qcow2", str(machine.overlay), str(disk)], check=True)
        for kernel, suffix in ((base.image.kernel, ".vmlinuz"), (base.image.initrd, ".initrd")):
            assert kernel is not None
            shutil.copy(kernel, disk.with_suffix(suffix))

    return VmImage.at(cached("test-images", key, make, log=log) / "disk.qcow2")

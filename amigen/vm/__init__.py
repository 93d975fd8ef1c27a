"""Virtual machines for builds and proofs: acceleration, base images, and a machine that always goes away again.

    from amigen.vm import Machine, VmImage, built_in_base

    base = built_in_base("debian-12", "x86_64", log=print)
    with Machine(base.image, work=Path("/tmp/somewhere"), user=base.user) as machine:
        machine.wait_for_ssh()
        print(machine.run("cloud-init status --wait").stdout)
        machine.reboot()

Needs QEMU, genisoimage (or mkisofs, xorrisofs) and the OpenSSH client on this machine.
"""

from amigen.vm.bases import Base, built_in_base
from amigen.vm.image import VmImage
from amigen.vm.machine import Machine
from amigen.vm.scratch import scratch

__all__ = ["Base", "Machine", "VmImage", "built_in_base", "scratch"]

"""A virtual machine of an image that amigen built, as the node of the real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import Result

from amigen.kubernetes.cluster import connect
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, SERVICES
from amigen.plan.make import plan_images
from amigen.platforms import PLATFORMS
from amigen.spec.load import parse_spec
from amigen.userdata import make
from tests.build.local_builds import build, proven
from tests.kubeproxy import samples
from tests.kubeproxy.real_world import World, delete_all
from tests.real import node
from tests.real.control_plane import PROXY, ControlPlane
from tests.testbed.guest import wait_for_cloud_init

if TYPE_CHECKING:
    from amigen.vm import Machine

SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: proof
kubernetesVersion: "1.34"
platforms: [debian-12]
local: {bases: {debian-12: {mmdebstrap: true}}}
kubeProxy: {mode: ipvs}
# A scheduler that no other spec of this folder names.
modules: {extra: [ip_vs_mh]}
# What kube-proxy brings in its own image.
packages: [{name: ipset}, {name: iptables}, {name: conntrack}, {name: nftables}]
"""
LOGIN_USER = PLATFORMS["debian-12"].local_user
NODE_PORT = 30090
DNS = (("dns", "UDP", 53), ("dns-tcp", "TCP", 53))


@dataclass
class Proof(World):
    """The world with a real node in it."""

    machine: Machine | None = None
    look: list[str] = field(default_factory=list)

    @property
    def vm(self) -> Machine:
        assert self.machine is not None
        return self.machine

    @property
    def target(self) -> str:
        return f"ssh://{self.vm.ssh.user}@127.0.0.1:{self.vm.port}"

    @property
    def ssh(self) -> list[str]:
        options = [word for word in self.vm.ssh.arguments if word.startswith("-o")]
        return ["--identity", str(self.vm.ssh.key), "--ssh-option=-Fnone", *(f"--ssh-option={one}" for one in options)]

    def apply(self, *arguments: str) -> Result:
        return self.run("apply", "--yes", "--timeout", "240", "--look", self.target, *self.ssh, *arguments)

    def status(self, *arguments: str) -> Result:
        return self.run("status", "--node", self.target, *self.ssh, *arguments)

    def shell(self, script: str) -> str:
        return node.run(self.vm, script)


def built(folder: Path) -> Path:
    """The image that `amigen build` makes of the spec: of the apt family, with its packages."""
    done = build(folder, SPEC)
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "proof", "debian-12", "ipvsadm", "ipset")
    return folder / "amigen-build/proof/debian-12-x86_64/disk.qcow2"


@contextmanager
def proving(plane: ControlPlane, image: Path, folder: Path) -> Iterator[Proof]:
    """A booted node with kube-proxy of iptables mode, as a cluster has it before the change."""
    from amigen.vm import Machine, VmImage, scratch

    user_data = make.user_data(plan_images(parse_spec(SPEC))[0], format_="shell")
    cluster = connect(str(plane.kubeconfig("admin")))
    delete_all(cluster)
    with (
        scratch("kubeproxy") as work,
        Machine(VmImage.at(image), work=work, user=LOGIN_USER, user_data=user_data, hostname=node.NODE) as machine,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_STATE_HOME", str(folder))
        machine.wait_for_ssh()
        done = wait_for_cloud_init(machine)
        assert done.returncode == 0, machine.run("sudo cat /var/log/cloud-init-output.log").stdout[-3000:]
        node.install(machine, plane)
        node.run(machine, node.NAMESPACES + node.SERVERS)
        with node.VmKubelet(cluster, plane.folder, machine=machine) as kubelet:
            found = Proof(plane=plane, cluster=cluster, kubelet=kubelet, state=folder, machine=machine)
            populate(found)
            yield found
            depopulate(found)
    delete_all(cluster)


def populate(found: Proof) -> None:
    node.add_node(found.kubelet)  # type: ignore[arg-type]
    web = [("http", "TCP", 80)]
    found.create(SERVICES, node.service("web", "10.96.0.50", *web), "default")
    found.create(SERVICES, node.service("sticky", "10.96.0.51", *web, sessionAffinity="ClientIP"), "default")
    found.create(SERVICES, node.service("call", "10.96.0.52", ("sip", "SCTP", 5060)), "default")
    found.create(SERVICES, node.service("empty", "10.96.0.53", *web), "default")
    found.create(SERVICES, node.service("outside", "10.96.0.54", *web, type="NodePort"), "default")
    found.create(SERVICES, node.service("hosted", "10.96.0.60", *web), "default")
    echo = {"name": "http", "protocol": "TCP", "port": 80, "nodePort": NODE_PORT}
    found.create(SERVICES, node.service("echo", "10.96.0.61", type="NodePort", ports=[echo]), "default")
    found.create(SERVICES, node.service("kube-dns", "10.96.0.10", *DNS))
    server = ("http", "TCP", 8080)
    for name in ("web", "sticky", "outside"):
        found.create(node.SLICES, node.endpoints(name, ["10.244.1.2", "10.244.1.3"], server), "default")
    ends = {"hosted": node.endpoints("hosted", ["10.0.2.15"], ("http", "TCP", 9090))}
    # Two endpoints, so that a connection which is balanced anew often meets a server that does not know it.
    ends |= {f"echo-{one}": node.endpoints("echo", ["10.244.1.2"], ("http", "TCP", one)) for one in (9090, 9091)}
    for name, slice_ in ends.items():
        slice_["metadata"]["name"] = name
        found.create(node.SLICES, slice_, "default")
    found.create(node.SLICES, node.endpoints("call", ["10.244.1.2"], ("sip", "SCTP", 5060)), "default")
    found.create(node.SLICES, node.endpoints("kube-dns", ["10.244.1.2"], *DNS))
    api = node.endpoints("kubernetes", ["10.0.2.2"], ("https", "TCP", found.plane.port))
    found.create(node.SLICES, api, "default")
    # kube-proxy looks after its table every 30 s by itself; here only when something changes, so that what a test
    # breaks stays broken until it has been seen.
    text = samples.KUBEADM_CONFIG.replace("  syncPeriod: 0s\n  tcpFin", "  syncPeriod: 1h0m0s\n  tcpFin")
    found.create(CONFIG_MAPS, samples.config_map(text=text))
    found.settle()
    found.create(DAEMON_SETS, samples.daemon_set(image=f"registry.k8s.io/kube-proxy:{PROXY}"))
    found.wait_pods(1, 120)


def depopulate(found: Proof) -> None:
    for namespace in ("default", "kube-system"):
        for kind in (SERVICES, node.SLICES):
            for item in list(found.cluster.list(kind, namespace)):
                if item["metadata"]["name"] != "kubernetes":
                    found.cluster._send("DELETE", kind.path(item["metadata"]["name"], namespace))

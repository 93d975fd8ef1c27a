"""A real kube-apiserver with etcd and the DaemonSet controller, on loopback, for as long as a test session.

Nothing runs the pods: there is no kubelet and no scheduler. `PretendKubelet` plays both, and says where it does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.ports import free_port
from tests.real import build

ADMIN = "admin-token"
# Kubernetes of the API server, of the controllers and of kube-proxy: a folder in tests/real/tools.
KUBERNETES = os.environ.get("AMIGEN_KUBERNETES") or "1.37"
# Their version, as go.mod pins it: `v1.37.2`.
PROXY = build.pinned(f"kubernetes-{KUBERNETES}", "k8s.io/kubernetes")
# Where kube-proxy of each version is built.
PROXIES = {"1.35": "kube-proxy-1.35", "1.36": "kubernetes-1.36", "1.37": "kubernetes-1.37"}
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy")


def programs(version: str = KUBERNETES) -> dict[str, Path]:
    """Path of each program; the current test is skipped as not proven where one is not built."""
    found = {name: build.program(f"kubernetes-{version}", name) for name in PROGRAMS}
    return {**found, "etcd": build.program("etcd", "etcd-judge")}


@dataclass
class ControlPlane:
    """A running control plane.

    Attributes:
        users: Token by user name; `admin` is in system:masters, the others have what RBAC gives them.
    """

    folder: Path
    programs: dict[str, Path]
    port: int = field(default_factory=free_port)
    etcd_port: int = field(default_factory=free_port)
    users: dict[str, str] = field(default_factory=lambda: {"admin": ADMIN, "reader": "reader-token", "nobody": "none"})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.folder / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        tokens = self.folder / "tokens.csv"
        rows = [
            f'{token},{user},{user},"system:masters"' if user == "admin" else f"{token},{user},{user}"
            for user, token in self.users.items()
        ]
        tokens.write_text("\n".join(rows) + "\n")
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{self.etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{self.etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
            "--unsafe-no-fsync",
        )
        self.start_api_server()
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('admin')}",
            "--controllers=daemonset-controller",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def start_api_server(self) -> None:
        key = self.folder / "service-account.key"
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'certs'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
        )
        self._wait_ready()

    def _spawn(self, program: str, *arguments: str) -> None:
        log = (self.folder / f"{program}.log").open("ab")
        self.processes[program] = subprocess.Popen(
            [str(self.programs[program]), *arguments], stdout=log, stderr=log, start_new_session=True
        )

    def _wait_ready(self) -> None:
        context = ssl._create_unverified_context()
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            for program, process in self.processes.items():
                if process.poll() is not None:
                    tail = (self.folder / f"{program}.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{program} ended:\n{tail}")
            request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
            with contextlib.suppress(OSError, urllib.error.URLError):
                opener = urllib.request.build_opener(
                    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
                )
                if opener.open(request, timeout=5).status == 200:
                    return
            time.sleep(0.3)
        raise RuntimeError("kube-apiserver is not ready after 300 s")

    def stop(self, program: str) -> None:
        """End one program; waits for it."""
        process = self.processes.pop(program)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def close(self) -> None:
        for program in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if program in self.processes:
                self.stop(program)

    def kubeconfig(self, user: str = "admin", *, server: str = "", name: str = "real") -> Path:
        """A kubeconfig for one user; `server` where the API server has another address (out of a VM)."""
        path = self.folder / f"{user}-{name}{'-remote' if server else ''}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": user,
            "clusters": [{"name": name, "cluster": {"server": server or self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": user, "user": {"token": self.users[user]}}],
            "contexts": [{"name": user, "context": {"cluster": name, "user": user}}],
        }
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """A control plane that is stopped at the end, whatever happens."""
    plane = ControlPlane(folder=folder, programs=programs())
    try:
        plane.start()
        yield plane
    finally:
        plane.close()
        shutil.rmtree(folder / "etcd", ignore_errors=True)

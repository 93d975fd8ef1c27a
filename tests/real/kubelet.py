"""A stand-in for kubelets and the scheduler: it binds pods and reports them ready; it runs no container.

What it proves: what amigen reads from pods, and when. What it does not prove: that kube-proxy starts (the test with a
virtual machine does).
"""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from amigen.kubeproxy.daemonset import pods as read_pods
from amigen.kubernetes.cluster import Cluster
from amigen.kubernetes.kinds import CONFIG_MAPS, NODES, PODS, Asked, Kind

BINDINGS = Kind(name="Status", root="/api/v1", plural="bindings")


@dataclass
class PretendKubelet:
    """Plays the kubelet of every node.

    Attributes:
        crashing: Nodes on which new pods crash.
        flapping: Nodes on which kube-proxy says its mode, gets ready, and ends, again and again.
        deaf: Nodes on which kube-proxy starts and stays in this mode, whatever is configured.
    """

    cluster: Cluster
    folder: Path
    crashing: set[str] = field(default_factory=set)
    flapping: set[str] = field(default_factory=set)
    deaf: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    config_map: str = "kube-proxy"
    pod_ip: str = "127.0.0.1"
    paused: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> PretendKubelet:
        self._ended = threading.Event()
        self._server = self._log_server()
        self.port = self._server.server_address[1]
        self._threads = [
            threading.Thread(target=self._loop, daemon=True),
            threading.Thread(target=self._server.serve_forever, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(20)

    def _log_server(self) -> http.server.ThreadingHTTPServer:
        """The part of kubelet's API that serves logs: `/containerLogs/NAMESPACE/POD/CONTAINER`."""
        logs = self.logs

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = self.path.split("?")[0].split("/")
                text = logs.get(parts[3], "") if len(parts) > 3 and parts[1] == "containerLogs" else ""
                self.send_response(200)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        certificate = self.folder / "kubelet.pem"
        if not certificate.exists():
            subject = ["-subj", "/CN=pretend-kubelet", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
            subprocess.run(
                ["openssl", "req", "-x509", *subject, "-keyout", str(certificate), "-out", str(self.folder / "k.crt")],
                check=True,
                capture_output=True,
            )
            certificate.write_bytes(certificate.read_bytes() + (self.folder / "k.crt").read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server

    def add_node(
        self, name: str, *, labels: dict[str, str] | None = None, kernel: str = "6.1.0-25-cloud-amd64"
    ) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | (labels or {})},
        }
        self.cluster._json("create", Asked(NODES), body=node)
        status = {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            "nodeInfo": {"kernelVersion": kernel, "osImage": "Debian GNU/Linux 12 (bookworm)"} | _NO_INFO,
        }
        self._patch(f"{NODES.path(name)}/status", {"status": status})

    def _patch(self, path: str, body: dict[str, Any]) -> int:
        return self.cluster._send("PATCH", path, body, "application/strategic-merge-patch+json").status

    def _loop(self) -> None:
        while not self._ended.wait(0.2):
            if self.paused.is_set():
                continue
            try:
                items = list(self.cluster.list(PODS))
            except Exception:
                continue
            for item in items:
                self._tend(item)

    def _tend(self, item: dict[str, Any]) -> None:
        meta = item["metadata"]
        path = PODS.path(meta["name"])
        pod = read_pods([item])[0]
        if pod.ending:
            self.cluster._send("DELETE", f"{path}?gracePeriodSeconds=0")
        elif not item["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": pod.node}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": target}
            self.cluster._send("POST", f"{path}/binding", body)
        elif (item.get("status") or {}).get("phase") != "Running":
            self._start(item, pod.node, path)
        elif pod.node in self.flapping:
            container = item["status"]["containerStatuses"][0]
            container["restartCount"] += 1
            self._patch(f"{path}/status", {"status": {"containerStatuses": [container]}})

    def _start(self, item: dict[str, Any], node: str, path: str) -> None:
        """What kube-proxy would do: read the ConfigMap, and say in its log which mode it runs in."""
        config = yaml.safe_load(next(iter(self.cluster.get(CONFIG_MAPS, self.config_map)["data"].values())))
        mode = self.deaf.get(node) or config.get("mode") or "iptables"
        crashes = node in self.crashing
        name = item["metadata"]["name"]
        self.logs[name] = "" if crashes else f"I1123 server_linux.go:1] Using {mode} Proxier.\n"
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
        container = {
            "name": "kube-proxy",
            "image": "kube-proxy",
            "imageID": "",
            "ready": not crashes,
            "restartCount": 3 if crashes else 0,
            "state": waiting if crashes else {"running": {}},
        }
        if crashes:
            last = {"exitCode": 1, "reason": "Error", "message": "can't use the IPVS proxier: no such scheduler"}
            container["lastState"] = {"terminated": last}
        status = "False" if crashes else "True"
        self._patch(
            f"{path}/status",
            {
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": status}, {"type": "ContainersReady", "status": status}],
                    "containerStatuses": [container],
                    "hostIP": "127.0.0.1",
                    "podIP": self.pod_ip,
                }
            },
        )


_NO_INFO = dict.fromkeys(
    (
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "systemUUID",
    ),
    "",
)

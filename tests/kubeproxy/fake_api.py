"""A stand-in for a small cluster, in memory: enough of the API for whole commands in a second, and no more.

What it proves: what amigen sends, reads and says. What it does not prove: how Kubernetes itself behaves; the tests
against a real API server do.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from amigen.base.errors import AmigenError
from amigen.cli import cli
from tests.kubeproxy import samples
from tests.outputs import require_valid

KINDS = {
    "configmaps": "ConfigMap",
    "daemonsets": "DaemonSet",
    "pods": "Pod",
    "nodes": "Node",
    "services": "Service",
    "endpointslices": "EndpointSlice",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
}


def a_node(name: str, address: str = "192.0.2.1", kernel: str = "6.1.0", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {key.replace("_", "/"): value for key, value in labels.items()}},
        "status": {
            "nodeInfo": {"kernelVersion": kernel, "osImage": "Amazon Linux 2023.6.20250218"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": address}],
        },
    }


class FakeApi:
    """Serves one kube-proxy with its nodes at `url` inside a `with`.

    Attributes:
        config_map, daemon_set: As they are now; a PUT and a PATCH change them.
        lists: The items of the other kinds.
        refused: `(method, kind)` -> status and message of an answer that refuses.
        stuck: Nodes on which a new pod does not get ready.
        restarts: Restart counts by node, taken from the front at each list of the pods.
        headers: Those of the last request.
        down: How many more requests are not answered at all.
    """

    def __init__(self, *, text: str = samples.EKS_CONFIG, nodes: tuple[str, ...] = ("a", "b")) -> None:
        self.version = "v1.33.1"
        self.config_map = samples.config_map("kube-proxy-config", "config", text)
        self.config_map["metadata"]["resourceVersion"] = "1"
        self.daemon_set = samples.daemon_set("kube-proxy-config", "config", image="x/kube-proxy:v1.33.1-eksbuild.2")
        self.daemon_set["metadata"]["uid"] = "the DaemonSet"
        items = [a_node(name, f"192.0.2.{number}") for number, name in enumerate(nodes, start=1)]
        self.lists: dict[str, list[dict[str, Any]]] = {"nodes": items, "services": [], "endpointslices": []}
        self.refused: dict[tuple[str, str], tuple[int, str]] = {}
        self.stuck: set[str] = set()
        self.restarts: dict[str, list[int]] = {}
        self.headers: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda method, kind: None
        self.down = 0
        self.lists["pods"] = [self._pod(name) for name in nodes]

    @property
    def text(self) -> str:
        """What kube-proxy is configured with."""
        return str(self.config_map["data"]["config"])

    def write(self, text: str) -> None:
        """What somebody else does."""
        meta = self.config_map["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        self.config_map["data"]["config"] = text

    def _pod(self, node: str) -> dict[str, Any]:
        annotations = (self.daemon_set["spec"]["template"]["metadata"].get("annotations")) or {}
        ready = "False" if node in self.stuck else "True"
        return {
            "metadata": {
                "name": f"kube-proxy-{node}",
                "uid": f"{node}-{len(annotations)}",
                "creationTimestamp": "2026-05-01T00:00:00Z",
                "annotations": dict(annotations),
                "ownerReferences": [{"kind": "DaemonSet", "uid": self.daemon_set["metadata"]["uid"]}],
            },
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"gitVersion": self.version}
        parts = path.split("/")
        kind = next((part for part in reversed(parts) if part in KINDS), "")
        self.before(method, kind)
        if (method, kind) in self.refused:
            status, message = self.refused[method, kind]
            return status, {"kind": "Status", "message": message}
        if parts[-1] == "log":
            return 200, f"Using {yaml.safe_load(self.text).get('mode') or 'iptables'} Proxier.\n"
        if kind == "selfsubjectaccessreviews":
            return 201, {"kind": KINDS[kind], "status": {"allowed": True}}
        if kind == "configmaps":
            return self._config_map(method, body)
        if kind == "daemonsets":
            return 200, self._daemon_set(method, body)
        if kind == "pods" and method == "GET":
            self._count_restarts()
        if method == "DELETE":
            return 200, {"kind": "Status"}
        return 200, {"kind": f"{KINDS[kind]}List", "metadata": {}, "items": self.lists[kind]}

    def _config_map(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "PUT":
            if body["metadata"]["resourceVersion"] != self.config_map["metadata"]["resourceVersion"]:
                return 409, {"message": "the object has been modified"}
            self.write(body["data"]["config"])
        return 200, self.config_map

    def _daemon_set(self, method: str, body: Any) -> Any:
        template = (body or {}).get("spec", {}).get("template") if method == "PATCH" else None
        if template:
            meta = self.daemon_set["spec"]["template"]["metadata"]
            meta["annotations"] = (meta.get("annotations") or {}) | template["metadata"]["annotations"]
            self.lists["pods"] = [self._pod(item["metadata"]["name"]) for item in self.lists["nodes"]]
        return self.daemon_set

    def _count_restarts(self) -> None:
        for pod in self.lists["pods"]:
            left = self.restarts.get(pod["spec"]["nodeName"], [])
            count = left.pop(0) if len(left) > 1 else (left or [0])[0]
            pod["status"]["containerStatuses"] = [{"restartCount": count}]

    def __enter__(self) -> FakeApi:
        outer = self

        class Edge(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.headers = list(self.headers.items())
                outer.calls.append((self.command, self.path))
                if outer.down:
                    outer.down -= 1
                    self.close_connection = True
                    return
                status, found = outer.answer(self.command, self.path.partition("?")[0], json.loads(sent or b"null"))
                body = found.encode() if isinstance(found, str) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(found, str) else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Edge)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder: Path, name: str = "c", **user: Any) -> Path:
        """One context; the cluster of it is called `name`."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "the context",
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
            "contexts": [{"name": "the context", "context": {"cluster": name, "user": "u"}}],
        }
        path = folder / "kube config"
        path.write_text(json.dumps(config))
        return path


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    """`amigen kube-proxy ...` in process; the exit code is that of `main`."""
    result = CliRunner().invoke(cli, ["kube-proxy", *arguments], input=text)
    if isinstance(result.exception, AmigenError):
        result.exit_code = result.exception.exit_code
        result.stderr_bytes = (result.stderr_bytes or b"") + str(result.exception).encode()
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    require_valid(["kube-proxy", *arguments], result.stdout)
    return result

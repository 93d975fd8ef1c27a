"""An API server that answers what Kubernetes never would, over HTTP: one clear error, no traceback, nothing executed.

The server is a stand-in that gives back fixed objects; what Kubernetes itself does is proved against a real API server.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen.cli import main
from tests.kubeproxy import fake_api, samples

WORDS = "\x1b[31mred\x9d0;title\n$(touch /tmp/amigen-was-here)`reboot`\u202e"
OWN_KINDS = {6, 7, 10, 11, 13, 14}
KINDS = (*fake_api.KINDS, "version")


def pod() -> dict[str, Any]:
    meta = {"name": "kube-proxy-abcde", "uid": "u", "creationTimestamp": "2026-01-02T00:00:00Z"}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": meta, "spec": {"nodeName": "node-a"}, "status": status}


def node() -> dict[str, Any]:
    return {
        "metadata": {"name": "node-a", "labels": {"amigen/ipvs": "ready", "kubernetes.io/hostname": "node-a"}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kernelVersion": "6.12.0", "osImage": "Linux"},
        },
    }


def objects() -> dict[str, Any]:
    """What the server answers, by the last word of the path that names a kind."""
    config_map = samples.config_map()
    config_map["metadata"]["resourceVersion"] = "1"
    port = {"name": "http", "port": 80, "protocol": "TCP"}
    service = {"metadata": {"name": "s", "namespace": "d"}, "spec": {"clusterIP": "10.96.0.1", "ports": [port]}}
    labels = {"kubernetes.io/service-name": "s"}
    endpoints = [{"addresses": ["10.1.0.1"], "conditions": {"ready": True}}]
    piece = {"metadata": {"name": "s-1", "namespace": "d", "labels": labels}, "addressType": "IPv4", "ports": [port]}
    return {
        "configmaps": config_map,
        "daemonsets": samples.daemon_set(image="k8s.gcr.io/kube-proxy:v1.33.2"),
        "pods": {"kind": "PodList", "metadata": {}, "items": [pod()]},
        "nodes": {"kind": "NodeList", "metadata": {}, "items": [node()]},
        "services": {"kind": "ServiceList", "metadata": {}, "items": [service]},
        "endpointslices": {"kind": "EndpointSliceList", "metadata": {}, "items": [{**piece, "endpoints": endpoints}]},
        "version": {"gitVersion": "v1.33.2"},
        "selfsubjectaccessreviews": {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}},
    }


class Api:
    """Serves `answers` (kind -> body) on loopback; writes what was changed into `changes`."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.date, self.content_type = "", "application/json"
        self.changes: list[str] = []
        outer = self

        class Edge(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = self.path.partition("?")[0].split("/")
                kind = next((part for part in reversed(parts) if part in KINDS), "")
                if self.command != "GET" and kind != "selfsubjectaccessreviews":
                    outer.changes.append(f"{self.command} {kind}")
                body = outer.answers.get(kind, b"{}")
                self.send_response_only(200)
                self.send_header("Date", outer.date or self.date_time_string())
                self.send_header("Content-Type", outer.content_type)
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

    def __enter__(self) -> Api:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        self.answers = {kind: json.dumps(each).encode() for kind, each in objects().items()}
        self.date, self.changes = "", []


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with Api() as found:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": found.url}}],
            "users": [{"name": "u", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        (tmp_path / "listing").write_text("IP Virtual Server version 1.2.1 (size=4096)\n")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        found.reset()
        yield found


COMMANDS = {
    "plan": ("plan", "--mode", "ipvs"),
    "status": ("status",),
    "listing": ("status", "--listing", "{listing}"),
    "apply": ("apply", "--mode", "ipvs", "--yes", "--timeout", "1"),
    "migrate": ("migrate",),
}


def run(name: str, folder: Path) -> tuple[int, str]:
    """Exit code and all that was said."""
    said = io.StringIO()
    code = 0
    arguments = [part.replace("{listing}", str(folder / "listing")) for part in COMMANDS[name]]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(["kube-proxy", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, said.getvalue()


def walk(value: Any, change: Callable[[Any], Any]) -> Any:
    """Every leaf changed; the form stays."""
    if isinstance(value, dict):
        return {key: walk(each, change) for key, each in value.items()}
    return [walk(each, change) for each in value] if isinstance(value, list) else change(value)


NONSENSE: dict[str, bytes] = {
    "page": b"<!DOCTYPE html><html><body>Log in</body></html>",
    "empty": b"",
    "truncated": b'{"items": [{"metadata": {"na',
    "list": b"[]",
    "text": b'"' + json.dumps(WORDS)[1:].encode(),
    "empty object": b"{}",
    "null": b"null",
    "nested": b'{"a":' * 200_000,
    "number": b"9" * 100_000,
    "binary": b"\x00\xff\xfe" * 100,
    "a Status": b'{"kind": "Status", "status": "Success"}',
}


def harmless(code: int, said: str, what: str) -> None:
    what = f"{what}: exit {code}\n{said[:3000]}"
    assert "Traceback" not in said, what
    assert code in OWN_KINDS | {0}, what
    assert "secret-token" not in said, what
    assert not Path("/tmp/amigen-was-here").exists(), what
    assert not {c for c in said if not c.isprintable() and c not in "\n\t"}, what


@pytest.mark.parametrize("name", ["plan", "status", "listing", "migrate"])
def test_without_hostility(api: Api, tmp_path: Path, name: str) -> None:
    """The objects are good enough for the commands to come to their end."""
    code, said = run(name, tmp_path)

    assert code == (6 if name == "listing" else 0), said


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_answer(api: Api, tmp_path: Path, kind: str) -> None:
    """Named with verb and resource; nothing is changed on its word."""
    name = {"services": "listing", "endpointslices": "listing", "selfsubjectaccessreviews": "apply"}.get(kind, "plan")
    for what, body in NONSENSE.items():
        api.reset()
        api.answers[kind] = body

        code, said = run(name, tmp_path)

        harmless(code, said, f"{what} for {kind}")
        assert code == 11, f"{what} for {kind}: {said}"
        assert ("GET /version" if kind == "version" else kind) in said, f"{what} for {kind}: {said}"
        assert "hint:" in said
        assert api.changes == []


@pytest.mark.parametrize("answer", [{"kind": "PodList"}, {"kind": "NodeList", "items": []}, {"items": []}])
def test_a_list_that_is_none(api: Api, tmp_path: Path, answer: Any) -> None:
    """Without items, or of another kind: it is not an empty one, on which pods would be taken for gone."""
    api.answers["pods"] = json.dumps(answer).encode()

    code, said = run("apply", tmp_path)

    harmless(code, said, repr(answer))
    assert (code, api.changes) == (11, [])
    assert "list pods in namespace kube-system: the answer is not what Kubernetes documents" in said


def test_json_of_another_content_type(api: Api, tmp_path: Path) -> None:
    """A page of a proxy may be JSON, too."""
    api.content_type = "text/html"

    assert run("status", tmp_path)[0] == 11


@pytest.mark.parametrize("allowed", [None, "false", "true", 1, [], {}, WORDS])
def test_a_right_that_is_neither_given_nor_refused(api: Api, tmp_path: Path, allowed: Any) -> None:
    """Nothing is changed on such a word."""
    api.answers["selfsubjectaccessreviews"] = json.dumps(
        {"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}}
    ).encode()

    code, said = run("apply", tmp_path)

    harmless(code, said, repr(allowed))
    assert (code, api.changes) == (11, [])


@pytest.mark.parametrize("kind", ["pods", "nodes"])
def test_words_for_the_terminal(api: Api, tmp_path: Path, kind: str) -> None:
    """Texts are shown with what is not printable as escapes, also names that no API server accepts."""
    for name in ("plan", "status"):
        answer = objects()[kind]
        answer["items"] = walk(answer["items"], lambda value: WORDS if isinstance(value, str) else value)
        api.answers[kind] = json.dumps(answer).encode()
        code, said = run(name, tmp_path)
        harmless(code, said, f"{name} with {kind}")


def test_pages_without_end(api: Api, tmp_path: Path) -> None:
    """The same `continue` again and again."""
    api.answers["pods"] = json.dumps({"kind": "PodList", "metadata": {"continue": "again"}, "items": [pod()]}).encode()
    began = time.monotonic()

    code, said = run("status", tmp_path)

    assert (code, time.monotonic() - began < 30) == (11, True), said
    assert (
        "list pods in namespace kube-system: the answer is not what Kubernetes documents: it returns too many pages"
        in said
    )


@pytest.mark.parametrize("date", ["yesterday", "Thu, 99 Foo 99999 99:99:99 GMT", "\t", "0"])
def test_a_server_without_a_time(api: Api, tmp_path: Path, date: str) -> None:
    """Before anything is changed: what is saved is named by the server's time."""
    api.date = date

    code, said = run("apply", tmp_path)

    assert code == 11, said
    assert "answers with an invalid Date" in said
    assert [change for change in api.changes if "PUT" in change] == []

"""Kubeconfigs as kubectl reads them: merged files, TLS, proxies, plugins and who is asked for.

The servers are stand-ins on loopback with real TLS; tests/kubeproxy/test_real_configmap.py has a real API server.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import InputError
from amigen.kubernetes import kubeconfig
from amigen.kubernetes.cluster import connect
from amigen.kubernetes.kubeconfig import IN_CLUSTER, read_access
from amigen.kubernetes.transport import Transport, UnreachableError

NAME = "kubernetes.internal"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority without key identifiers, as kubeadm's of old; a server's certificate for NAME; a client's."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout")
    openssl(*new, "ca.key", "-x509", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")
    (folder / "san").write_text(f"subjectAltName=DNS:{NAME}\n")
    for name in ("server", "client"):
        openssl(*new, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = (
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
        )
        openssl(*sign, "-out", f"{name}.crt", "-extfile", "san")
    return folder


class Server:
    """Answers `GET /version` and remembers what it was asked with; `refuse` answers 401 so many times."""

    def __init__(self, pki: Path | None = None, *, client_certificates: bool = False) -> None:
        self.seen: list[dict[str, str]] = []
        self.refuse = 0
        self.redirect = ""
        outer = self

        class Edge(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer: Any = getattr(self.connection, "getpeercert", dict)() or {}
                names = {key: value for part in peer.get("subject", ()) for key, value in part}
                outer.seen.append({**self.headers, "path": self.path, "peer": names.get("commonName", "")})
                refused, outer.refuse = outer.refuse > 0, outer.refuse - 1
                body = b'{"gitVersion": "v1.37.2"}'
                self.send_response(401 if refused else 302 if outer.redirect else 200)
                if outer.redirect:
                    self.send_header("Location", outer.redirect)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Edge)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        if pki is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pki / "server.crt", pki / "server.key")
            if client_certificates:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(pki / "ca.crt")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if pki else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def serving(pki: Path | None = None, **options: Any) -> Iterator[Server]:
    found = Server(pki, **options)
    try:
        yield found
    finally:
        found.close()


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None, name: str = "c") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user or {"token": "secret-token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


def test_files_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same name the first file counts, and of several current contexts the first; missing files are ignored."""
    (tmp_path / "a").write_text("contexts:\n- {name: one, context: {cluster: c, user: u}}\ncurrent-context: ''\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text(
        "current-context: one\nclusters:\n- name: c\n  cluster: {server: 'https://b', certificate-authority: ca.crt}\n"
        "users:\n- {name: u, user: {exec: {command: ./plugin}}}\n"
    )
    (tmp_path / "c").write_text(
        "current-context: two\nclusters: [{name: c, cluster: {server: 'https://c'}}]\n"
        "contexts: [{name: two, context: {cluster: c}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/none::{tmp_path}/sub/b:{tmp_path}/c")

    found = read_access()

    assert (found.context, found.name, found.server) == ("one", "c", "https://b")
    assert found.cluster["certificate-authority"] == str(tmp_path / "sub" / "ca.crt")
    assert found.user["exec"]["command"] == str(tmp_path / "sub" / "plugin")
    assert (read_access(context="two").server, read_access(context="two").user) == ("https://b", {})
    with pytest.raises(InputError, match="no context 'x'"):
        read_access(context="x")


def test_the_authority_is_trusted_and_no_other(pki: Path, tmp_path: Path) -> None:
    """By the name that tls-server-name says."""
    with serving(pki) as server:
        cluster = {"server": server.url, "certificate-authority": str(pki / "ca.crt"), "tls-server-name": NAME}
        other = {**cluster, "certificate-authority": str(pki / "client.crt")}

        assert connect(write(tmp_path / "k", cluster)).version() == "v1.37.2"
        for wrong in (other, {**cluster, "tls-server-name": ""}, {"server": server.url, "tls-server-name": NAME}):
            with pytest.raises(UnreachableError, match="certificate"):
                connect(write(tmp_path / "k", wrong)).version()
        insecure = {"server": server.url, "insecure-skip-tls-verify": True}
        assert connect(write(tmp_path / "k", insecure)).version() == "v1.37.2"
        assert {one["Authorization"] for one in server.seen} == {"Bearer secret-token"}


def test_a_client_certificate(pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As files and as data; no key stays behind in a temporary file."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    data = {key: base64.b64encode((pki / f"client.{key}").read_bytes()).decode() for key in ("crt", "key")}
    files = {"client-certificate": str(pki / "client.crt"), "client-key": str(pki / "client.key")}
    with serving(pki, client_certificates=True) as server:
        cluster = {"server": server.url, "certificate-authority": str(pki / "ca.crt"), "tls-server-name": NAME}
        for user in (files, {"client-certificate-data": data["crt"], "client-key-data": data["key"]}):
            assert connect(write(tmp_path / "k", cluster, user)).version() == "v1.37.2"
        assert [one["peer"] for one in server.seen] == ["client", "client"]
        with pytest.raises(UnreachableError):
            connect(write(tmp_path / "k", cluster)).version()
    assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(InputError, match="client-key-data is not base64"):
        connect(write(tmp_path / "k", cluster, {"client-key-data": "%"}))
    with pytest.raises(InputError, match="certificates of cluster or user cannot be read"):
        connect(write(tmp_path / "k", cluster, {"client-certificate-data": data["crt"]}))


class Proxy(threading.Thread):
    """Takes one CONNECT and passes bytes on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.head = ""
        self.start()

    def run(self) -> None:
        client, _ = self._listener.accept()
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += client.recv(1)
        self.head = data.decode()
        host, _, port = self.head.split()[1].rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        def carry(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while part := source.recv(65536):
                    target.sendall(part)

        threading.Thread(target=carry, args=(server, client), daemon=True).start()
        carry(client, server)


def test_a_proxy(pki: Path, tmp_path: Path) -> None:
    """`proxy-url`, with its password; TLS is with the API server."""
    with serving(pki) as server:
        proxy = Proxy()
        cluster = {
            "server": server.url,
            "certificate-authority": str(pki / "ca.crt"),
            "tls-server-name": NAME,
            "proxy-url": f"http://ann:secret-word@127.0.0.1:{proxy.port}",
        }

        assert connect(write(tmp_path / "k", cluster)).version() == "v1.37.2"

        assert proxy.head.startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert base64.b64encode(b"ann:secret-word").decode() in proxy.head
        assert "secret-token" not in proxy.head
    with pytest.raises(InputError, match="proxy-url is not the URL") as caught:
        connect(write(tmp_path / "k", {**cluster, "proxy-url": "ftp://ann:secret-word@h"}))
    assert "secret-word" not in str(caught.value)


def test_a_socks_proxy_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a dependency of amigen."""
    monkeypatch.setattr("amigen.kubernetes.transport.find_spec", lambda _: None)

    with pytest.raises(InputError, match="PySocks"):
        connect(write(tmp_path / "k", {"server": "https://127.0.0.1:1", "proxy-url": "socks5://127.0.0.1:1"}))


def test_a_proxy_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for loopback, and not for what no_proxy names."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "example.org")

    def proxied(server: str) -> bool:
        transport = Transport(read_access(write(tmp_path / "k", {"server": server})))
        return transport._pool.proxy is not None

    assert proxied("https://example.com")
    assert not proxied("https://api.example.org:6443")
    assert not proxied("https://127.0.0.1:6443")


PLUGIN = "client.authentication.k8s.io/v1"


def _plugin(folder: Path, status: str, **fields: Any) -> dict[str, Any]:
    """A plugin that counts its calls, keeps what it was given, and prints this status."""
    script = folder / "plugin"
    script.write_text(
        f'#!/bin/sh\necho call >>{folder}/calls\nprintf %s "$KUBERNETES_EXEC_INFO" >{folder}/info\n'
        f'n=$(wc -l <{folder}/calls)\ncat <<END\n{{"apiVersion": "{PLUGIN}", "kind": "ExecCredential",'
        f' "status": {status}}}\nEND\n'
    )
    script.chmod(0o755)
    return {"exec": {"apiVersion": PLUGIN, "command": "./plugin", **fields}}


def test_a_plugin_is_run_again_when_its_token_ends_or_is_refused(tmp_path: Path) -> None:
    """And only then."""
    with serving() as server:
        user = _plugin(tmp_path, '{"token": "$T$n", "expirationTimestamp": "$UNTIL"}')
        user["exec"]["env"] = [{"name": "T", "value": "t"}, {"name": "UNTIL", "value": "2999-01-01T00:00:00Z"}]
        found = connect(write(tmp_path / "k", {"server": server.url}, user))
        found.version()
        found.version()
        server.refuse = 1
        found.version()
        user["exec"]["env"][1]["value"] = "2001-01-01T00:00:00Z"
        (tmp_path / "calls").unlink()
        ended = connect(write(tmp_path / "k", {"server": server.url}, user))
        ended.version()

    tokens = [one["Authorization"].removeprefix("Bearer ") for one in server.seen]
    assert tokens == ["t1", "t1", "t1", "t2", "t2"]


def test_a_plugin_is_told_the_cluster(pki: Path, tmp_path: Path) -> None:
    """With provideClusterInfo; a client certificate of a plugin is used."""
    parts = {key: (pki / f"client.{key}").read_text() for key in ("crt", "key")}
    status = json.dumps({"clientCertificateData": parts["crt"], "clientKeyData": parts["key"]}).replace("\\n", "\\\\n")
    with serving(pki, client_certificates=True) as server:
        cluster = {"server": server.url, "certificate-authority": str(pki / "ca.crt"), "tls-server-name": NAME}
        cluster["extensions"] = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]  # type: ignore[assignment]
        user = _plugin(tmp_path, status, provideClusterInfo=True, interactiveMode="Never")

        assert connect(write(tmp_path / "k", cluster, user)).version() == "v1.37.2"

    info = json.loads((tmp_path / "info").read_text())
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (PLUGIN, "ExecCredential", False)
    assert info["spec"]["cluster"] == {
        "server": server.url,
        "tls-server-name": NAME,
        "certificate-authority-data": base64.b64encode((pki / "ca.crt").read_bytes()).decode(),
        "config": {"audience": "x"},
    }
    assert server.seen[0]["peer"] == "client"


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"exec": {"command": "x"}}, "apiVersion"),
        ({"exec": {"command": "true", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, "apiVersion"),
        ({"tokenFile": "/no/such/token"}, "/no/such/token"),
    ],
)
def test_users_that_kubectl_refuses(tmp_path: Path, user: dict[str, Any], says: str) -> None:
    """Before any request."""
    with pytest.raises(InputError, match=says):
        connect(write(tmp_path / "k", {"server": "http://127.0.0.1:1"}, user))


def test_the_account_of_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its token is read again, since the kubelet replaces it."""
    with serving() as server:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
        monkeypatch.setattr(kubeconfig, "_ACCOUNT", tmp_path)
        (tmp_path / "token").write_text("first\n")
        found = read_access()
        assert (found.name, found.context, found.server) == (IN_CLUSTER, IN_CLUSTER, "https://[fd00::1]:443")
        found.cluster.update(server=server.url)  # type: ignore[attr-defined]
        found.cluster.pop("certificate-authority")  # type: ignore[attr-defined]
        transport = Transport(found)
        transport.send("GET", "/version")
        (tmp_path / "token").write_text("second")
        server.refuse = 1
        transport.send("GET", "/version")

    assert [one["Authorization"] for one in server.seen] == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """Credentials go to the server that the kubeconfig names."""
    with serving() as server, serving() as other:
        server.redirect = f"{other.url}/version"

        assert (
            Transport(read_access(write(tmp_path / "k", {"server": server.url}))).send("GET", "/version").status == 302
        )
        assert other.seen == []

"""Requests to one API server: TLS, proxy and credentials as its kubeconfig has them.

Source: rest and transport of k8s.io/client-go.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import BaseHTTPResponse

from amigen.base.errors import InputError, KubernetesError, plain
from amigen.kubernetes.credentials import Credentials, credentials
from amigen.kubernetes.kubeconfig import Access

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # never through a proxy of the environment, as in Go


class UnreachableError(KubernetesError):
    """No answer from the API server: down, restarting, or no way to it."""


class Transport:
    """Sends requests with the credentials of one user; takes new ones when they end or are refused."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._renew()

    def _renew(self) -> None:
        self._credentials = credentials(self._access)
        self._pool = _pool(self._access, self._credentials)

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> BaseHTTPResponse:
        """One request; redirects are not followed.

        Raises:
            UnreachableError: No answer.
            InputError: Credentials have ended, and there are no new ones.
        """
        used: Credentials | None = None
        for _ in range(2):
            with self._lock:
                now = self._credentials
                if now.renewable and (now.ended or now is used):
                    self._renew()
                used, pool = self._credentials, self._pool
            headers = urllib3.HTTPHeaderDict({"Accept": "application/json, */*"})
            headers.extend(used.headers)
            if body is not None:
                headers["Content-Type"] = content_type
            answer = self._request(pool, method, path, headers, None if body is None else json.dumps(body))
            if answer.status != 401 or not used.renewable:
                break
        return answer

    def _request(
        self, pool: urllib3.PoolManager, method: str, path: str, headers: urllib3.HTTPHeaderDict, body: str | None
    ) -> BaseHTTPResponse:
        try:
            return pool.request(
                method,
                self._access.server.rstrip("/") + path,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnreachableError(
                f"the API server {self._access.server} does not answer: {_short(reason)}",
                f"does `kubectl --context {self._access.context} version` reach it?",
            ) from None


def _pool(access: Access, user: Credentials) -> urllib3.PoolManager:
    cluster = access.cluster
    options: dict[str, Any] = {"ssl_context": _context(access, user), "maxsize": 8}
    if cluster.get("tls-server-name"):
        options["server_hostname"] = str(cluster["tls-server-name"])
    proxy = str(cluster.get("proxy-url") or _proxy_of_environment(access.server))
    if not proxy:
        return urllib3.PoolManager(**options)
    parts = urlsplit(proxy)
    try:
        if parts.scheme.startswith("socks"):
            if find_spec("socks") is None:
                raise InputError(f"{access.source}: a SOCKS proxy needs the package PySocks", "`pip install PySocks`")
            manager: urllib3.PoolManager = import_module("urllib3.contrib.socks").SOCKSProxyManager(proxy, **options)
            return manager
        login = f"{parts.username}:{parts.password or ''}" if parts.username else None
        headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except (urllib3.exceptions.HTTPError, ValueError):
        # It may hold a password.
        raise InputError(f"{access.source}: proxy-url is not the URL of an http, https or socks5 proxy") from None


def _proxy_of_environment(server: str) -> str:
    parts = urlsplit(server)
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(f"{host}:{parts.port}" if parts.port else host) or proxy_bypass(host):
        return ""
    return getproxies().get(parts.scheme, "")


def _context(access: Access, user: Credentials) -> ssl.SSLContext:
    authority = access.content(access.cluster, "certificate-authority")
    try:
        context = ssl.create_default_context(cadata=authority.decode("ascii", "replace") if authority else None)
        # Of Python 3.13 on by default, it refuses authorities that kubeadm and others make, and that Go accepts.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if access.cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            # The kubeconfig says it on purpose; kubectl does not warn at each call either.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if user.certificate or user.key:
            _load(context, user)
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"{access.source}: the certificates of cluster or user cannot be read: {plain(str(error))}",
            "does `kubectl config view --raw` show them whole?",
        ) from None
    return context


def _load(context: ssl.SSLContext, user: Credentials) -> None:
    """Python takes a client certificate from a file only; it is gone before this returns."""
    descriptor, path = tempfile.mkstemp(prefix="amigen-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write((user.certificate or b"") + b"\n" + (user.key or b""))
        context.load_cert_chain(path)
    finally:
        os.unlink(path)  # noqa: PTH108 - mkstemp gives text


def _short(reason: object) -> str:
    """The reason without the object that urllib3 puts before it."""
    return str(reason).rsplit(">: ", 1)[-1].rsplit("): ", 1)[-1]

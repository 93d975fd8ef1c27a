"""The credentials of a kubeconfig's user: headers and a client certificate, from a plugin where it names one.

Sources: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins and
#user-impersonation; plugin/pkg/client/auth/exec of k8s.io/client-go.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from amigen.base.errors import InputError, plain
from amigen.base.moments import moment_of
from amigen.base.processes import EndlessOutputError, last_line, run_capped
from amigen.kubernetes.kubeconfig import Access

_LONGEST = 500  # of what a plugin says, in a message
_SECONDS = 120  # a login may ask for a second factor
_GROUP = "client.authentication.k8s.io/"
_VERSIONS = (f"{_GROUP}v1", f"{_GROUP}v1beta1")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What one user sends.

    Attributes:
        headers: Of each request, impersonation among them.
        certificate, key: PEM of the client certificate; None: without one.
        until: When they end; None: not known.
        renewable: A plugin or a file can give new ones.
    """

    headers: tuple[tuple[str, str], ...]
    certificate: bytes | None = None
    key: bytes | None = None
    until: datetime | None = None
    renewable: bool = False

    @property
    def ended(self) -> bool:
        """Whether they are over, or nearly."""
        return self.until is not None and datetime.now(UTC) + timedelta(seconds=10) >= self.until


def credentials(access: Access) -> Credentials:
    """Those of a user; a plugin is run.

    Raises:
        InputError: The plugin gives none, or a field is of another form than kubectl takes.
    """
    user = access.user
    headers = impersonation(access.source, user)
    if user.get("auth-provider"):
        raise InputError(
            f"{access.source}: the user has an auth-provider, which kubectl no longer reads since 1.26",
            "use its exec plugin, such as gke-gcloud-auth-plugin or kubelogin",
        )
    certificate, key = access.content(user, "client-certificate"), access.content(user, "client-key")
    until, renewable = None, False
    if token := access.content({"tokenFile": user.get("tokenFile")}, "tokenFile"):
        headers, renewable = (*headers, _bearer(token.decode("ascii", "replace").strip())), True
        until = datetime.now(UTC) + timedelta(minutes=1)  # the kubelet replaces it
    elif user.get("token"):
        headers = (*headers, _bearer(str(user["token"])))
    elif user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}".encode()
        headers = (*headers, ("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
    elif user.get("exec"):
        status = _run(access, user["exec"])
        renewable = True
        if status.get("token"):
            headers = (*headers, _bearer(str(status["token"])))
        if status.get("clientCertificateData"):
            certificate = str(status["clientCertificateData"]).encode()
            key = str(status.get("clientKeyData") or "").encode()
        until = moment_of(status.get("expirationTimestamp"))
    return Credentials(headers=headers, certificate=certificate, key=key, until=until, renewable=renewable)


def _bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def _run(access: Access, plugin: Any) -> Mapping[str, Any]:
    """The `status` of the ExecCredential that a plugin prints.

    Its arguments stay out of messages: they may hold secrets.
    """
    fields = plugin if isinstance(plugin, Mapping) else {}
    command, arguments = fields.get("command"), fields.get("args") or []
    version, pairs = fields.get("apiVersion"), fields.get("env") or []
    if not isinstance(command, str) or not isinstance(arguments, list) or version not in _VERSIONS:
        raise InputError(
            f"{access.source}: exec of the user needs command, args and apiVersion ({' or '.join(_VERSIONS)})",
            "`aws eks update-kubeconfig` of a current AWS CLI writes it anew",
        )

    def failed(why: str) -> InputError:
        hint = str(fields.get("installHint") or "").strip()
        return InputError(
            f"{access.source}: `{plain(command)}` (exec of the user) gives no credentials:"
            f" {plain(' '.join(why.split()))[:_LONGEST] or 'no output'}",
            plain(hint)[:_LONGEST]
            or "run it by hand as the kubeconfig has it; where it is the AWS CLI, `aws sts get-caller-identity` says"
            " whether you are logged in, `aws sso login` logs in",
        )

    # A plugin may ask for a second factor where somebody can answer.
    interactive = fields.get("interactiveMode") != "Never" and all(one.isatty() for one in (sys.stdin, sys.stderr))
    spec: dict[str, Any] = {"interactive": interactive}
    if fields.get("provideClusterInfo"):
        spec["cluster"] = _cluster_info(access)
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    environment = dict(os.environ) | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
    environment |= {str(one.get("name")): str(one.get("value")) for one in pairs if isinstance(one, Mapping)}
    try:
        words = [command, *map(str, arguments)]
        if interactive:
            done = subprocess.run(words, env=environment, timeout=_SECONDS, stdout=subprocess.PIPE, check=False)
        else:
            done = run_capped(words, env=environment, timeout=_SECONDS, limit=1 << 20)
    except OSError as error:
        raise failed(error.strerror or "it cannot be run") from None
    except subprocess.TimeoutExpired:
        raise failed(f"no answer within {_SECONDS} s") from None
    except EndlessOutputError:
        raise failed("its output does not end") from None
    if done.returncode:
        raise failed((done.stderr or b"").decode(errors="replace") or f"exit code {done.returncode}")
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise failed(f"its output is not JSON; {last_line(done.stderr or b'')}") from None
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict) or answer.get("apiVersion") != version or answer.get("kind") != "ExecCredential":
        raise failed(f"its output is not an ExecCredential of {version}")
    if not (status.get("token") or (status.get("clientCertificateData") and status.get("clientKeyData"))):
        raise failed("its output has neither a token nor a client certificate with its key")
    return status


def _cluster_info(access: Access) -> dict[str, Any]:
    """`spec.cluster` of an ExecCredential."""
    cluster = access.cluster
    authority = access.content(cluster, "certificate-authority")
    found = {
        "server": access.server,
        "tls-server-name": cluster.get("tls-server-name"),
        "insecure-skip-tls-verify": cluster.get("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(authority).decode() if authority else None,
        "proxy-url": cluster.get("proxy-url"),
    }
    extensions = cluster.get("extensions")
    for one in extensions if isinstance(extensions, list) else ():
        if isinstance(one, Mapping) and one.get("name") == f"{_GROUP}exec":
            found["config"] = one.get("extension")
    return {key: value for key, value in found.items() if value}


def impersonation(source: str, user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The headers of `as`, `as-uid`, `as-groups` and `as-user-extra`.

    Raises:
        InputError: Of another form than kubectl takes.
    """
    wrong = InputError(f"{source}: as, as-uid, as-groups or as-user-extra of the user is not as kubectl takes it")
    name, uid = user.get("as") or "", user.get("as-uid") or ""
    groups, extra = user.get("as-groups") or [], user.get("as-user-extra") or {}
    if not (isinstance(name, str) and isinstance(uid, str) and isinstance(groups, list) and isinstance(extra, Mapping)):
        raise wrong
    if not name:
        if uid or groups or extra:
            raise wrong
        return ()
    headers = [("Impersonate-User", name)] + ([("Impersonate-Uid", uid)] if uid else [])
    headers += [("Impersonate-Group", group) for group in groups]
    for key, values in extra.items():
        if not isinstance(values, list):
            raise wrong
        headers += [(f"Impersonate-Extra-{quote(str(key).lower(), safe='')}", value) for value in values]
    # A line break would be a header of its own.
    if not all(isinstance(value, str) and value.isprintable() and value.isascii() for _, value in headers):
        raise wrong
    return tuple(headers)

"""What of a kubeconfig's user the `kubernetes` library leaves out: an exec plugin that fails, and impersonation.

The library writes the failure of a plugin to the log and goes on without credentials, and it does not read `as`.
kubectl stops at the one and sends the other (https://kubernetes.io/docs/reference/access-authn-authz/authentication/).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from amigen.base.errors import InputError, plain

_LONGEST = 500  # of what a plugin says, in a message


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What the library logs as errors meanwhile, in place of a raw line on stderr."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    root, listener = logging.getLogger(), Listener(level=logging.ERROR)
    root.addHandler(listener)
    try:
        yield said
    finally:
        root.removeHandler(listener)


def plugin_failed(source: str, user: Mapping[str, Any], said: list[str]) -> InputError:
    """The error of an exec plugin that gave no credentials; its arguments stay out, they may hold secrets."""
    command = str((user.get("exec") or {}).get("command"))
    why = plain(" ".join(" ".join(said).split()))[:_LONGEST] or "no output"
    return InputError(
        f"{source}: `{plain(command)}` (exec of the user) gives no credentials: {why}",
        "run it by hand as the kubeconfig has it; where it is the AWS CLI, `aws sts get-caller-identity` says whether"
        " you are logged in, `aws sso login` logs in",
    )


def guarded(hook: Callable[[Any], None] | None, source: str, user: Mapping[str, Any]) -> Callable[[Any], None] | None:
    """The library's hook that renews credentials in the middle of a run, and says when it cannot."""
    if hook is None or "exec" not in user:
        return hook

    def renew(configuration: Any) -> None:
        with heard() as said:
            hook(configuration)
        if said:
            raise plugin_failed(source, user, said)

    return renew


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

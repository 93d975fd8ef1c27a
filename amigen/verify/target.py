"""What is verified: TARGET of the command line, taken apart."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amigen.base.errors import InputError

Kind = Literal["image", "ssh", "podman", "docker", "chroot", "nspawn", "local", "ssm", "vm"]
FORMS = (
    "an image file, a folder, ssh://[USER@]HOST[:PORT], ssm://i-INSTANCE[?region=REGION&profile=PROFILE], podman://CONTAINER,"
    " docker://CONTAINER, nspawn:///FOLDER, chroot:///FOLDER, local"
)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LOGIN = re.compile(rf"[A-Za-z_][A-Za-z0-9._-]*@({_HOST.pattern})(:[0-9]+)?")
_INSTANCE = re.compile(r"(i|mi)-[0-9a-f]{8,17}")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target.

    Attributes:
        text: As the user wrote it.
        name: Host, container, instance or path.
        user, port: Of ssh; empty and 0 where ssh's own configuration decides.
        region, profile: Of an instance over Session Manager; empty where the AWS configuration decides.
    """

    text: str
    kind: Kind
    name: str = ""
    user: str = ""
    port: int = 0
    region: str = ""
    profile: str = ""


def parse_target(text: str) -> Target:
    """A target of the command line.

    Raises:
        InputError: It is none, or names a file that is not there.
    """
    if text == "local":
        return Target(text=text, kind="local", name="local")
    if "://" in text:
        return _url(text)
    path = Path(text)
    if path.is_dir():
        return Target(text=text, kind="chroot", name=str(path.resolve()))
    if path.is_file():
        return Target(text=text, kind="image", name=str(path.resolve()))
    meant = f"ssm://{text}" if _INSTANCE.fullmatch(text) else f"ssh://{text}" if _LOGIN.fullmatch(text) else ""
    raise InputError(f"{text}: no such target", f"did you mean {meant}?" if meant else f"a target is {FORMS}")


def _url(text: str) -> Target:
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port or 0
    except ValueError as error:
        raise InputError(f"{text}: {error}", f"a target is {FORMS}") from None
    query = dict(urllib.parse.parse_qsl(url.query))
    if url.scheme == "ssh":
        host, at = url.netloc.rpartition("@")[2], url.netloc.rpartition("@")[0]
        name = re.sub(r":[0-9]*$", "", host)
        if not _HOST.fullmatch(name) or ":" in at or at.startswith("-") or url.path not in ("", "/") or query:
            raise InputError(f"{text}: not an ssh target", "write ssh://USER@HOST:PORT; passwords are not taken")
        return Target(text=text, kind="ssh", name=name.strip("[]"), user=urllib.parse.unquote(at), port=port)
    if url.scheme == "ssm":
        if not _INSTANCE.fullmatch(url.netloc) or set(query) - {"region", "profile"}:
            raise InputError(f"{text}: not a Session Manager target", "write ssm://i-...?region=REGION&profile=PROFILE")
        region, profile = query.get("region", ""), query.get("profile", "")
        return Target(text=text, kind="ssm", name=url.netloc, region=region, profile=profile)
    if url.scheme in ("podman", "docker"):
        if not _CONTAINER.fullmatch(url.netloc) or url.path not in ("", "/"):
            raise InputError(f"{text}: not the name of a container", f"write {url.scheme}://CONTAINER")
        return Target(text=text, kind="podman" if url.scheme == "podman" else "docker", name=url.netloc)
    if url.scheme in ("chroot", "nspawn"):
        folder = Path(url.netloc + urllib.parse.unquote(url.path))
        if not folder.is_dir():
            raise InputError(f"{text}: there is no such folder", f"write {url.scheme}:///FOLDER")
        return Target(text=text, kind="chroot" if url.scheme == "chroot" else "nspawn", name=str(folder.resolve()))
    raise InputError(f"{text}: {url.scheme}:// is not known here", f"a target is {FORMS}")

"""What publishers serve, on the loopback: a folder with their hosts and paths, over HTTP with ranges."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Site:
    """The server.

    Attributes:
        asked: Path and `Range` of each request.
        cut_after: Bytes after which an answer ends early, for each of the next answers with a body.
        ranges: Whether it knows ranges.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.cut_after: list[int] = []
        self.ranges = True

    def put(self, path: str, content: bytes | str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    found = Site(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, found, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, found: Site, *arguments: object, directory: str) -> None:
        self.site = found
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        # To a proxy, the path is a whole URL.
        self.path = re.sub("^http://[^/]*", "", self.path)
        wanted = self.headers.get("Range", "")
        self.site.asked.append((self.path, wanted))
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.site.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.site.cut_after.pop(0) if self.site.cut_after else len(content)
        self.wfile.write(content[start : start + cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


def debian(found: Site, version: str, codename: str, arch: str, disk: bytes, serial: str = "20260914-2601") -> None:
    """As https://cloud.debian.org/images/cloud/ has it."""
    name, place = f"debian-{version}-genericcloud-{arch}", f"cloud.debian.org/images/cloud/{codename}"
    labels = f'{{"cloud.debian.org/vendor": "genericcloud", "cloud.debian.org/version": "{serial}"}}'
    document = f'{{"items": [{{"kind": "Build", "metadata": {{"labels": {labels}}}}}]}}'
    found.put(f"{place}/latest/{name}.json", document)
    found.put(f"{place}/{serial}/{name}-{serial}.qcow2", disk)
    lines = [f"{hashlib.sha512(disk).hexdigest()}  {name}-{serial}.{end}\n" for end in ("qcow2", "tar.xz")]
    found.put(f"{place}/{serial}/SHA512SUMS", "".join(lines))


def ubuntu(found: Site, version: str, codename: str, arch: str, disk: bytes, serial: str = "20260926") -> None:
    """As https://cloud-images.ubuntu.com/releases/ has it; the signature is none."""
    place = f"cloud-images.ubuntu.com/releases/{codename}"
    found.put(f"{place}/release/unpacked/build-info.txt", f"serial={serial}\nsuite={codename}\nbuild_name=server\n")
    name = f"ubuntu-{version}-server-cloudimg-{arch}.img"
    found.put(f"{place}/release-{serial}/{name}", disk)
    found.put(f"{place}/release-{serial}/SHA256SUMS", f"{hashlib.sha256(disk).hexdigest()} *{name}\n")
    found.put(f"{place}/release-{serial}/SHA256SUMS.gpg", "no signature\n")


def al2023(found: Site, folder: str, arch: str, disk: bytes, version: str = "2023.11.20260526.0") -> None:
    """As https://cdn.amazonlinux.com/al2023/os-images/ has it, with images of three kernels."""
    place = "cdn.amazonlinux.com/al2023/os-images"
    names = [f"al2023-kvm-{version}-kernel-{kernel}-{arch}.xfs.gpt.qcow2" for kernel in ("6.12", "6.1", "6.18")]
    text = "".join(f"{hashlib.sha256(disk if '6.1-' in name else b'').hexdigest()}  {name}\n" for name in names)
    for each in ("latest", version):
        found.put(f"{place}/{each}/{folder}/SHA256SUMS", text)
    found.put(f"{place}/{version}/{folder}/{names[1]}", disk)

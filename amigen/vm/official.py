"""The cloud image that a distribution publishes: its newest version, found and proven by what its publisher signs.

`AMIGEN_IMAGE_MIRROR` is the URL of a mirror: a folder for each host, with the paths of that host below it, as
`wget --recursive` makes them.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import InputError, ToolError
from amigen.base.processes import find_program, last_line, run_capped
from amigen.knowledge import Architecture
from amigen.platforms.model import CloudImage, PlatformFact
from amigen.vm import download
from amigen.vm.scratch import scratch

MIRROR = "AMIGEN_IMAGE_MIRROR"
GPGV = (("gpgv",), "gpgv", "verify the signature of the cloud image")
_OTHER_WAYS = (
    f"set a proxy (https_proxy) or a mirror ({MIRROR}), or name another base under local.bases: a file, a URL with its"
    " sha256, or `mmdebstrap: true` to make one from package sources"
)
_KEYS = Path(__file__).parents[1] / "platforms"


@dataclass(frozen=True, kw_only=True)
class OfficialImage:
    """One version of an official image.

    Attributes:
        checksum: As the publisher names it: SHA-256 or SHA-512, hexadecimal.
        proof: What the checksum is trusted for, in words.
    """

    url: str
    checksum: str
    proof: str


def official_image(fact: PlatformFact, architecture: Architecture) -> CloudImage:
    """Where the distribution publishes its image for KVM.

    Raises:
        ToolError: It does not.
    """
    found = fact.cloud_images.get(architecture)
    if found is None:
        raise ToolError(
            f"{fact.title} publishes no cloud image of {architecture} that is known here",
            f"name a disk image under local.bases.{fact.name}: a file, or a URL with its sha256",
        )
    return found


def newest(image: CloudImage) -> OfficialImage:
    """The newest version that is published.

    Raises:
        InputError: It cannot be asked for, or the answer names no image.
        ToolError: The signature cannot be verified here.
    """
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    site = f"{mirror}/{image.site.partition('://')[2]}" if mirror else image.site
    named, _ = _text(f"{site}/{image.newest}")
    version = re.search(image.version, named, re.MULTILINE)
    if version is None:
        raise InputError(f"{site}/{image.newest} names no version of the image", _OTHER_WAYS)
    folder = f"{site}/{image.folder.format(version=version[1])}"
    checksums, came_from = _text(f"{folder}/{image.checksums}")
    if image.signature:
        _verify(checksums, _text(f"{folder}/{image.signature}")[0], image.key, f"{folder}/{image.signature}")
        proof = f"its checksum signed by {image.key}"
    else:
        proof = f"its checksum over {came_from.partition(':')[0]}; the publisher does not sign"
    name, checksum = _entry(checksums, image.file.replace("{version}", re.escape(version[1])), folder)
    return OfficialImage(url=f"{folder}/{name}", checksum=checksum, proof=proof)


def _text(url: str) -> tuple[str, str]:
    try:
        return download.read_text(url)
    except InputError as error:
        raise type(error)(error.message, _OTHER_WAYS) from None


def _entry(checksums: str, pattern: str, folder: str) -> tuple[str, str]:
    """Name and checksum of the first image by name; the format is that of sha256sum(1)."""
    line = re.compile(rf"^([0-9a-f]{{64}}|[0-9a-f]{{128}}) [ *]({pattern})$", re.MULTILINE)
    found = sorted((match[2], match[1]) for match in line.finditer(checksums))
    if not found:
        raise InputError(f"{folder}: the list of checksums has no image {pattern}", _OTHER_WAYS)
    return found[0]


def _verify(text: str, signature: str, key: str, url: str) -> None:
    """Accept the text only with a signature of this key.

    Raises:
        InputError: It has none.
    """
    gpgv = find_program(*GPGV[0], package=GPGV[1], purpose=GPGV[2])
    armored = (_KEYS / f"{key}.asc").read_text()
    # gpgv reads binary key rings only. The armor is base64 after a blank line, and ends with a checksum line.
    body = armored.partition("\n\n")[2].partition("\n=")[0]
    with scratch("gpg") as folder:
        files = {"key.gpg": base64.b64decode(body), "text": text.encode(), "text.gpg": signature.encode()}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        words = ["--status-fd", "1", "--keyring", str(folder / "key.gpg"), str(folder / "text.gpg")]
        done = run_capped([gpgv, *words, str(folder / "text")], timeout=60)
    # gnupg/doc/DETAILS: VALIDSIG ends with the fingerprint of the primary key.
    valid = re.search(rf"^\[GNUPG:\] VALIDSIG .*\b{key}$", done.stdout.decode("utf-8", "replace"), re.MULTILINE)
    if done.returncode != 0 or valid is None:
        raise InputError(
            f"{url} is no signature of the key {key}: {last_line(done.stderr)}",
            "do not use this image; a mirror may serve files of two versions, so try again later",
        )

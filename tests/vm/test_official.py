"""The official cloud images: found, proven and downloaded, from a server on the loopback with their layouts."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from amigen.base.errors import InputError, ToolError
from amigen.knowledge import Architecture
from amigen.platforms import PLATFORMS
from amigen.vm import download as downloads
from amigen.vm import official
from amigen.vm.download import UnreachableError, download
from tests.vm import image_site
from tests.vm.image_site import Site, site

DISK = b"disk" * 1000
SHA256 = hashlib.sha256(DISK).hexdigest()
# As Canonical published them on 26 September 2026, with their signature.
NOBLE = Path(__file__).parent / "noble"
UBUNTU = PLATFORMS["ubuntu-24.04"].cloud_images["x86_64"]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The mirror of this machine; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with site(tmp_path / "web") as found:
        monkeypatch.setenv(official.MIRROR, found.url)
        yield found


def quiet(_line: str) -> None:
    pass


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_newest_image_of_each_platform_is_found_and_loaded(
    platform: str, architecture: Architecture, web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one version, whose folder stays the same when a newer one is published."""
    fact, verified = PLATFORMS[platform], []
    monkeypatch.setattr(official, "_verify", lambda *given: verified.append(given))
    if platform == "al2023":
        image_site.al2023(web, "kvm" if architecture == "x86_64" else "kvm-arm64", architecture, DISK)
    else:
        put = image_site.ubuntu if fact.os_id == "ubuntu" else image_site.debian
        put(web, fact.os_version, fact.codename, fact.arch_names[architecture], DISK)

    found = official.newest(official.official_image(fact, architecture))

    assert found.url.startswith(web.url)
    assert "latest" not in found.url
    assert found.proof == (
        "its checksum signed by D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"
        if fact.os_id == "ubuntu"
        else "its checksum over http; the publisher does not sign"
    )
    assert [text for text, *_ in verified] == ([f"{SHA256} *{found.url.rpartition('/')[2]}\n"] * len(verified))
    assert len(verified) == (fact.os_id == "ubuntu")
    assert download(found.url, found.checksum, log=quiet).read_bytes() == DISK


def noble(web: Site, checksums: bytes) -> official.OfficialImage:
    """Canonical's list for the daily image of 24.04, as if it were that of the release."""
    web.put("cloud-images.ubuntu.com/releases/noble/release/unpacked/build-info.txt", "serial=20260926\n")
    place = "cloud-images.ubuntu.com/releases/noble/release-20260926"
    web.put(f"{place}/SHA256SUMS", checksums)
    web.put(f"{place}/SHA256SUMS.gpg", (NOBLE / "SHA256SUMS.gpg").read_bytes())
    return official.newest(msgspec.structs.replace(UBUNTU, file=r"noble-server-cloudimg-amd64\.img"))


needs_gpgv = pytest.mark.skipif(shutil.which("gpgv") is None, reason="not proven here: no gpgv")


@needs_gpgv
def test_canonicals_own_signature_is_accepted_and_nothing_else(web: Site) -> None:
    checksums = (NOBLE / "SHA256SUMS").read_bytes()

    found = noble(web, checksums)

    assert found.checksum == "6a81c37564db9b1ee84e141922625e1d7c5b389b99bb3c572e0243607d5bb4d2"
    with pytest.raises(InputError, match="is no signature of the key D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"):
        noble(web, checksums.replace(b"6a81c3", b"6a81c4"))


@needs_gpgv
def test_a_mirror_without_the_signature_is_refused(web: Site) -> None:
    image_site.ubuntu(web, "24.04", "noble", "amd64", DISK)
    with pytest.raises(InputError, match="is no signature"):
        official.newest(UBUNTU)
    (web.folder / "cloud-images.ubuntu.com/releases/noble/release-20260926/SHA256SUMS.gpg").unlink()
    with pytest.raises(InputError, match=r"cannot download .*SHA256SUMS.gpg: Not Found"):
        official.newest(UBUNTU)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("bookworm/latest/debian-12-genericcloud-amd64.json", "{}", "names no version of the image"),
        ("bookworm/20260914-2601/SHA512SUMS", "", "the list of checksums has no image"),
    ],
)
def test_an_answer_that_says_nothing(path: str, content: str, message: str, web: Site) -> None:
    image_site.debian(web, "12", "bookworm", "amd64", DISK)
    web.put(f"cloud.debian.org/images/cloud/{path}", content)
    with pytest.raises(InputError, match=message):
        official.newest(PLATFORMS["debian-12"].cloud_images["x86_64"])


def test_without_a_network_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(official.MIRROR, "http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="Connection refused") as caught:
        official.newest(UBUNTU)
    assert all(word in caught.value.hint for word in ("https_proxy", "AMIGEN_IMAGE_MIRROR", "mmdebstrap: true"))


def test_a_platform_without_a_cloud_image() -> None:
    fact = msgspec.structs.replace(PLATFORMS["al2023"], cloud_images={})
    with pytest.raises(ToolError, match="publishes no cloud image of arm64"):
        official.official_image(fact, "arm64")


def test_the_proxy_of_the_environment_is_used(web: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    image_site.debian(web, "12", "bookworm", "amd64", DISK)
    monkeypatch.setenv("http_proxy", web.url)
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv(official.MIRROR, "http://mirror.invalid")

    found = official.newest(PLATFORMS["debian-12"].cloud_images["x86_64"])

    assert found.url.startswith("http://mirror.invalid/cloud.debian.org/")
    assert download(found.url, found.checksum, log=quiet).read_bytes() == DISK


def test_https_does_not_lead_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(url="http://elsewhere/", close=lambda: None)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(InputError, match="it leads to http://elsewhere/, which is not encrypted"):
        downloads.read_text("https://cloud.debian.org/x")


def test_a_connection_that_breaks_goes_on_where_it_stopped(web: Site) -> None:
    web.put("disk", DISK)
    web.cut_after = [1000, 500]
    assert download(f"{web.url}/disk", SHA256, log=quiet).read_bytes() == DISK
    assert [wanted for _, wanted in web.asked] == ["", "bytes=1000-", "bytes=1500-"]


def test_a_server_that_stops_answering_is_not_asked_for_ever(web: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came stays for the next run, which goes on there."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    web.put("disk", DISK)
    web.cut_after = [1000, *[0] * 4]
    with pytest.raises(InputError, match="the connection ended early"):
        download(f"{web.url}/disk", SHA256, log=quiet)
    said: list[str] = []
    assert download(f"{web.url}/disk", SHA256, log=said.append).read_bytes() == DISK
    assert said == [f"download {web.url}/disk, from byte 1000 on"]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("left", [b"of another file", DISK, DISK + b"more"])
def test_what_is_left_of_another_file_does_not_harm(left: bytes, ranges: bool, web: Site, tmp_path: Path) -> None:
    web.put("disk", DISK)
    web.ranges = ranges
    folder = tmp_path / "cache/amigen/downloads"
    folder.mkdir(parents=True)
    (folder / f"{SHA256}.part").write_bytes(left)
    assert download(f"{web.url}/disk", SHA256, log=quiet).read_bytes() == DISK
    assert sorted(path.name for path in folder.iterdir()) == [SHA256, f"{SHA256}.lock"]

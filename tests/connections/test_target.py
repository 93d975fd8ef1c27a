"""TARGET of the command line, in all its forms and with what people mistype."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amigen.base.errors import InputError
from amigen.connections import parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", ("local", "local", "", 0)),
        ("ssh://node", ("ssh", "node", "", 0)),
        ("ssh://me@10.0.0.7:2222", ("ssh", "10.0.0.7", "me", 2222)),
        ("ssh://me@[fd00::7]:22", ("ssh", "fd00::7", "me", 22)),
        ("podman://some.box-1", ("podman", "some.box-1", "", 0)),
        ("docker://box", ("docker", "box", "", 0)),
        ("chroot:///", ("chroot", "/", "", 0)),
        ("nspawn:///", ("nspawn", "/", "", 0)),
        ("ssm://i-0123456789abcdef0", ("ssm", "i-0123456789abcdef0", "", 0)),
    ],
)
def test_forms(text: str, expected: tuple[str, str, str, int]) -> None:
    found = parse_target(text)
    assert (found.kind, found.name, found.user, found.port) == expected


def test_an_instance_with_region_and_profile() -> None:
    found = parse_target("ssm://i-0123456789abcdef0?region=eu-central-1&profile=ops")
    assert (found.region, found.profile) == ("eu-central-1", "ops")


def test_files_and_folders(tmp_path: Path) -> None:
    """A folder is an unpacked root, a file is an image."""
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(b"x")
    for form in (tmp_path, f"chroot://{tmp_path}", f"nspawn://{tmp_path}"):
        with pytest.raises(InputError, match="not the root of a Linux system: it has no /bin/sh"):
            parse_target(str(form))
    # As in a root whose folders are links that are meant inside it.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/no/such/dash")
    assert (parse_target(str(tmp_path)).kind, parse_target(str(disk)).kind) == ("chroot", "image")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("missing.qcow2", "no such target"),
        (" ", "the target is empty"),
        ("i-0123456789abcdef0", "did you mean ssm://i-0123456789abcdef0?"),
        ("root@10.0.0.7:22", "did you mean ssh://root@10.0.0.7:22?"),
        ("ssh://", "not an ssh target"),
        ("ssh://me:secret@node", "passwords are not supported"),
        ("ssh://-oProxyCommand=x@node", "not an ssh target"),
        ("ssh://node:port", "Port could not be cast"),
        ("ssh://node;reboot", "not an ssh target"),
        ("ssh://node/path", "not an ssh target"),
        ("podman://a b", "not the name of a container"),
        ("docker://--help", "not the name of a container"),
        ("chroot:///no/such/folder", "there is no such folder"),
        ("ssm://web", "not a Session Manager target"),
        ("ssm://i-0123456789abcdef0?zone=1", "not a Session Manager target"),
        ("vbox://x", "vbox:// is not supported"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_target(text)
    assert said in str(caught.value)
    assert "secret" not in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for each in (text, f"ssh://{text}", f"chroot://{text}", f"ssm://{text}"):
        try:
            parse_target(each)
        except InputError:
            continue

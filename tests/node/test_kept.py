"""Where the files of somebody else are kept; in a bare root, the script unchanged."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.scripts.bootstrap import bootstrap_script
from tests.properties.throwaway import BareRoot, bare_root

pytestmark = pytest.mark.slow

# Folders of which some reader takes files of any name: a copy in there would go on running.
PLACES = ("etc/cron.d", "etc/cron.daily", "etc/logrotate.d", "etc/kubernetes/manifests", "etc/sysctl.d")


@pytest.fixture
def root() -> Iterator[BareRoot]:
    with bare_root("debian-12") as made:
        yield made


def run(root: BareRoot, content: str) -> list[str]:
    base = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "kept", "kubernetesVersion": "1.34"}
    files = [{"path": f"/{place}/mine.conf", "content": content} for place in PLACES]
    spec: dict[str, Any] = {**base, "platforms": ["debian-12"], "kubeProxy": {"mode": "iptables"}, "files": files}
    done = root.run(bootstrap_script(plan_image(parse_spec(spec), "debian-12"), user_data=True))
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_the_copy_of_a_replaced_file_is_where_nothing_reads_it(root: BareRoot) -> None:
    """Its folder has ours alone; the copy is for root alone, as its folder may have been; the log names it."""
    for place in PLACES:
        (root.folder / place).mkdir(parents=True)
        (root.folder / place / "mine.conf").write_text("theirs\n")
    said = run(root, "ours\n")
    kept = root.folder / "var/lib/amigen/kept"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    for place in PLACES:
        assert [path.name for path in (root.folder / place).iterdir()] == ["mine.conf"]
        assert (root.folder / place / "mine.conf").read_text() == "ours\n"
        assert (kept / place / "mine.conf").read_text() == "theirs\n"
        line = f"amigen: kept the existing /{place}/mine.conf as /var/lib/amigen/kept/{place}/mine.conf"
        assert line in said
    # Once more, with other words: no copy is lost.
    (root.folder / PLACES[0] / "mine.conf").write_text("theirs again\n")
    run(root, "ours, too\n")
    assert sorted(path.read_text() for path in (kept / PLACES[0]).iterdir()) == ["theirs\n", "theirs again\n"]


def test_an_older_copy_in_the_way_stays(root: BareRoot) -> None:
    """What was kept of a folder is there when a file replaces that folder, also where no copy can be made."""
    base = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "kept", "kubernetesVersion": "1.34"}
    kept = root.folder / "var/lib/amigen/kept/etc/a/b"
    kept.parent.mkdir(parents=True)
    kept.write_text("theirs\n")
    (root.folder / "etc/a").write_text("in the way\n")
    spec: dict[str, Any] = {**base, "platforms": ["debian-12"], "kubeProxy": {"mode": "iptables"}}
    spec["files"] = [{"path": "/etc/a", "content": "ours\n"}]
    done = root.run(bootstrap_script(plan_image(parse_spec(spec), "debian-12"), user_data=True))
    assert done.stdout.splitlines()[-1].startswith("amigen: FAILED: cannot keep a copy of /etc/a")
    assert kept.read_text() == "theirs\n"
    assert (root.folder / "etc/a").read_text() == "in the way\n"

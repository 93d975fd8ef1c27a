"""The rendered scripts with uutils in place of GNU coreutils, as Ubuntu has them from 25.10 on.

The programs are those of Debian 13's package `rust-coreutils` (0.0.30), which has all that the scripts call;
Ubuntu 26.04 has a newer release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from amigen.base.shipped import folder
from amigen.platforms import PLATFORMS
from amigen.vm.apt_sources import sources_of_machine
from amigen.vm.cache import cache_key, cached
from tests.node.conftest import Node
from tests.node.test_roots import RICH, last_line
from tests.testbed import roots

pytestmark = pytest.mark.slow

PACKAGES = ("kmod", "procps", "systemd", "util-linux", "bsdutils", "rust-coreutils")
# The scripts' PATH has it first.
INSTALL = "ln -s /usr/lib/cargo/bin/coreutils/* /usr/local/bin/"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    sources = sources_of_machine(PLATFORMS["debian-13"])
    key = cache_key("uutils", [roots.RECIPE, sources.lines, PACKAGES])

    def make(folder: Path) -> None:
        roots.mmdebstrap(folder / "root.tar", sources, PACKAGES, print, "trixie")

    made = cached("roots", key, make, log=print)
    root = tmp_path / "root"
    roots.unpack(made / "root.tar", root)
    with roots.mounted(root):
        made_node = Node(root, "debian-13")
        made_node.run(INSTALL)
        yield made_node


def test_the_scripts_run_with_uutils(node: Node) -> None:
    """All steps, a second run that changes nothing, and the hygiene step."""
    gnu = set(node.run("dpkg -L coreutils | sed -n 's|.*/s*bin/||p'").split())
    text = "".join(path.read_text() for path in (folder("templates")).rglob("*.sh*"))
    used = {name for name in gnu if re.search(rf"(?:^|[\s(|!&]){re.escape(name)}\s", text, re.MULTILINE)}
    assert {"sha256sum", "mv", "timeout", "cp", "sync"} <= used
    # bash's own echo, printf, test and [ are what the scripts call.
    assert used - set(node.run("ls /usr/lib/cargo/bin/coreutils").split()) == set()
    assert "GNU" not in node.run("PATH=/usr/local/bin:$PATH; mv --version")
    plan = node.plan(**RICH)
    done = node.bootstrap(plan)
    assert done.returncode == 0, done.stdout
    assert last_line(done).startswith("amigen: ready: ")
    assert last_line(node.bootstrap(plan)) == "amigen: ready: 0 changes"
    cleaned = node.clean(plan)
    assert cleaned.returncode == 0, cleaned.stdout
    # Its own release.
    assert last_line(node.bootstrap(plan)) == "amigen: ready: 1 changes"

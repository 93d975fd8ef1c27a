"""Files that amigen writes."""

from __future__ import annotations

import hashlib
from typing import Self

from amigen.checks.model import Check, InstallGate, Level, Step, WriteFile
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class FileCheck(Check, frozen=True, kw_only=True):
    """A file has this content, owner, group and mode."""

    test = "test_file"
    place = 70
    level = Level.FILES
    asks = "files"
    path: str
    sha256: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        files = step.all_files if isinstance(step, InstallGate) else (step,) if isinstance(step, WriteFile) else ()
        return tuple(
            cls(
                path=file.path,
                sha256=hashlib.sha256(file.content).hexdigest(),
                owner=file.owner,
                group=file.group,
                mode=file.mode,
            )
            for file in files
        )

    @property
    def row(self) -> tuple[str, ...]:
        return self.mode, self.owner, self.group, self.sha256

    suite = """
# Path -> mode, owner, group, sha256 of the content.
FILES = {table}


@pytest.mark.parametrize("path", FILES)
def test_file(node, path):
    mode, owner, group, digest = FILES[path]
    file = node.files.get(path)
    assert file is not None and file.is_file, explain(
        expected=f"the file {path}", found="there is none", todo=BOOTSTRAP
    )
    assert file.sha256 == digest, explain(
        expected=f"{path} as amigen writes it, sha256 {digest}",
        found=f"other content, sha256 {file.sha256}",
        todo=f"put the change into the spec; or {BOOTSTRAP}",
    )
    assert file.mode == mode, explain(
        expected=f"{path} with mode {mode}", found=f"mode {file.mode}", todo=f"chmod {mode} {path}"
    )
    assert owner in (file.user, file.uid), explain(
        expected=f"{path} of the user {owner}", found=f"user {file.user}", todo=f"chown {owner} {path}"
    )
    assert group in (file.group, file.gid), explain(
        expected=f"{path} of the group {group}", found=f"group {file.group}", todo=f"chgrp {group} {path}"
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "file_is", self.path, self.sha256, f"{int(self.mode, 8):o}", self.owner, self.group

    shell = (
        r"""
# file_is PATH SHA256 MODE OWNER GROUP
file_is() {
	if [ ! -f "$1" ]; then
		echo "there is no file $1"
		return
	fi
	content=$(sha256sum <"$1")
	[ "${content%% *}" = "$2" ] || echo "$1 has other content, sha256 ${content%% *}"
	mode=$(stat -Lc %a -- "$1")
	[ "$mode" = "$3" ] || echo "$1 should have mode $3; it has $mode"
	owner=$(stat -Lc '%U %u' -- "$1")
	case " $owner " in *" $4 "*) ;; *) echo "$1 should be of the user $4; it is of ${owner% *}" ;; esac
	group=$(stat -Lc '%G %g' -- "$1")
	case " $group " in *" $5 "*) ;; *) echo "$1 should be of the group $5; it is of ${group% *}" ;; esac
}
""",
    )

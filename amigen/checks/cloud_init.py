"""cloud-init: it has ended well, and has run this instance's user data once."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import Check, Level, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.load import spec_digest
from amigen.spec.model import NodeImage

RESULT = "/run/cloud-init/result.json"
MARK = "/var/lib/cloud/instance/sem/config_scripts_user"
SCRIPTS = "/var/lib/cloud/instance/scripts"
# Where user data as cloud-config puts the bootstrap.
BOOTSTRAP = "/var/lib/amigen/bootstrap.sh"


class CloudInitCheck(Check, frozen=True, kw_only=True):
    """cloud-init has ended and without an error."""

    test = "test_cloud_init"
    place = 140
    level = Level.NODE
    needs = "boot"
    subject = "done"
    wanted = Wanted(texts=(RESULT,))

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(),) if step is None else ()

    suite = """
@pytest.mark.needs_boot
@pytest.mark.parametrize("state", {table})
def test_cloud_init(node, state):
    # The file that `cloud-init status` reads.
    result = node.texts.get("/run/cloud-init/result.json")
    assert result is not None, explain(
        expected=f"cloud-init is {state}",
        found="it has not ended, is disabled or is not installed",
        todo="cloud-init status --long; journalctl -b -u cloud-final",
    )
    errors = json.loads(result)["v1"]["errors"]
    assert not errors, explain(
        expected=f"cloud-init is {state}, without an error",
        found="; ".join(map(str, errors)),
        todo="/var/log/cloud-init-output.log says which script failed and why",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return ("cloud_init_done",)

    shell = (
        r"""
cloud_init_done() {
	said=$(tr -d ' \n\t' </run/cloud-init/result.json 2>/dev/null) || said=''
	case $said in
		*'"errors":[]'*) ;;
		'') echo "cloud-init has not ended, is disabled or is not installed" ;;
		*) echo "cloud-init ended with errors; see /var/log/cloud-init-output.log" ;;
	esac
}
""",
    )


class CloudInitOnceCheck(Check, frozen=True, kw_only=True):
    """cloud-init has run this spec's user data on this instance, and marked that it is not to be run again."""

    test = "test_cloud_init_once"
    place = 150
    level = Level.NODE
    needs = "boot"
    # An image is first booted without any user data, and a node may be given another's.
    optional = True
    subject = "user-data"
    digest: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(digest=spec_digest(spec)),) if step is None else ()

    @property
    def row(self) -> str:
        """A command with a line for each script that cloud-init was given: `ours FILE` for that of this spec.

        The spec's digest is in it, or in what it unpacks (`templates/self-unpacking.sh.jinja`).
        """
        return (
            f'for file in {SCRIPTS}/* {BOOTSTRAP}; do [ -f "$file" ] || continue; whose=other;'
            ' { cat "$file"; sed -e "1,/^[[:space:]]base64 -d/d" -e "/^PACKED$/,\\$d" "$file" | base64 -d | gunzip; }'
            f' 2>/dev/null | grep -qF {self.digest} && whose=ours; echo "$whose $file"; done; true'
        )

    @property
    def wanted(self) -> Wanted:
        return Wanted(files=(MARK,), commands=(self.row,))

    suite = """
# Lists the scripts that cloud-init wrote for this instance; that of this spec's user data has the spec's digest in it.
LIST_SCRIPTS = {table}


@pytest.mark.needs_boot
@pytest.mark.parametrize("what", LIST_SCRIPTS)
def test_cloud_init_once(node, what):
    whose = node.commands[LIST_SCRIPTS[what]].stdout.split()[::2]
    if "ours" not in whose:
        given = "scripts of other user data alone" if whose else f"no {what} with a script"
        not_provable(f"this instance was given {given}")
    # cloud-init's mark says that the scripts have been run, and are not run again at this instance's next boots. It is
    # there without any user data, too.
    assert "/var/lib/cloud/instance/sem/config_scripts_user" in node.files, explain(
        expected=f"the {what} of this instance has run, and will not run again",
        found="cloud-init has no mark of it: it was not run, or is run at every boot",
        todo="scripts-user must be in cloud_final_modules of /etc/cloud/cloud.cfg, once per instance",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "exists", MARK, "cloud-init has no mark of this user data"

    shell = (
        r"""
exists() {
	[ -e "$1" ] || echo "$2"
}
""",
    )

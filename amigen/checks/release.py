"""What a node says it is."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import RELEASE_PATH, Check, Level, Step, WriteRelease
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class ReleaseCheck(Check, frozen=True, kw_only=True):
    """`/etc/amigen/release.json` names this spec, by name and digest."""

    test = "test_release"
    place = 90
    level = Level.IDENTITY
    headline = "not built by amigen from this spec"
    todo = "run amigen build, or verify it with the spec and the state of it that it was made from"
    wanted = Wanted(texts=(RELEASE_PATH,))
    name: str
    digest: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(name=step.name, digest=step.digest),) if isinstance(step, WriteRelease) else ()

    suite = """
# Spec -> its digest.
RELEASE = {table}


@pytest.mark.parametrize("name", RELEASE)
def test_release(node, name):
    path = "/etc/amigen/release.json"
    text = node.texts.get(path)
    assert text is not None, explain(
        expected=f"{path} says that this is {name}", found="there is no such file", todo=BOOTSTRAP
    )
    said = json.loads(text)
    assert (said.get("name"), said.get("digest")) == (name, RELEASE[name]), explain(
        expected=f"a node of {name} with the spec's digest {RELEASE[name]}",
        found=f"{said.get('name')} with {said.get('digest')}",
        todo="this node or image was made from another spec, or from an older state of it: make it again",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "release_is", RELEASE_PATH, self.name, self.digest

    shell = (
        r"""
# release_is PATH NAME DIGEST
release_is() {
	said=$(tr -d ' \n' <"$1" 2>/dev/null) || said=''
	case $said in
		*"\"name\":\"$2\""*) ;;
		*) echo "$1 does not say that this node is $2" ;;
	esac
	case $said in
		*"\"digest\":\"$3\""*) ;;
		*) echo "this node was made from another state of the spec than $3" ;;
	esac
}
""",
    )

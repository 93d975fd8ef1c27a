"""What explain says of cloud-init and of Karpenter is what cloud-init's own code does with the very documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amigen.userdata import mime
from amigen.userdata.arrival import merged_by_karpenter
from tests.userdata.conftest import Left, Seen
from tests.userdata.test_explain import CASES, OTHER, SCRIPT

Leaves = Callable[[bytes], Left]
UMLAUTS = "#!/bin/sh\necho ä".encode()


def document(case: str, through: str) -> bytes:
    raw = CASES[case][0]
    return merged_by_karpenter(raw) if through == "karpenter" else raw


@pytest.mark.parametrize(
    ("case", "through", "scripts"),
    [
        ("good", "", [SCRIPT]),
        ("good", "karpenter", [SCRIPT]),
        ("no end", "", [SCRIPT]),
        ("DOS line endings", "", [SCRIPT]),
        ("DOS line ends, later", "", [b"#!/bin/sh\necho mine\r\n"]),
        ("MIME behind an empty line", "", []),
        ("MIME without a version", "", []),
        ("MIME with another header first", "", [SCRIPT]),
        ("MIME with another header first", "karpenter", "not as it was"),
        ("boundary that is not there", "", []),
        ("no boundary", "", []),
        ("no type", "", []),
        ("no interpreter", "", [b"echo hi\n"]),
        ("words of MIME in a script", "", [b"#!/bin/sh\n# MIME-Version: 1.0 is what mail says\necho mine\n"]),
        ("words of MIME and umlauts in a script", "", "not as it was"),
        ("cloud-config", "karpenter", []),
        ("a script of comments", "", [b"#!/bin/sh\n# nothing yet\n"]),
        ("a script of comments", "karpenter", []),
        ("one name for two", "", [OTHER]),
        ("one name for two", "karpenter", [SCRIPT, OTHER]),
        ("names against their places", "", [OTHER, SCRIPT]),
        ("names against their places", "karpenter", [SCRIPT, OTHER]),
        ("a line like Karpenter's boundary", "karpenter", "not as it was"),
        ("a line that only begins like it", "karpenter", [b"#!/bin/sh\n# mine:\n#\n: '\n--//hi\n'\n"]),
        ("boundary in a script", "", "not as it was"),
        ("boundary in base64", "karpenter", "not as it was"),
        ("packed", "", [SCRIPT]),
        ("packed", "karpenter", "Exception"),
        ("packed with umlauts", "", "not as it was"),
        ("plain with umlauts", "", "not as it was"),
        ("quoted-printable", "karpenter", [b"#!/bin/sh\necho a\n"]),
        ("quoted-printable with umlauts", "", [UMLAUTS]),
        ("quoted-printable with umlauts", "karpenter", "not as it was"),
    ],
)
def test_which_scripts_run(case: str, through: str, scripts: list[bytes] | str, cloud_init_leaves: Leaves) -> None:
    """In their order and to the byte, but for the line end at a part's own end."""
    left = cloud_init_leaves(document(case, through))
    found = [content.rstrip(b"\n") for _, content in left.scripts]

    if scripts == "Exception":
        assert (bool(left.error), found) == (True, [])
    elif scripts == "not as it was":
        assert left.error == ""
        assert found != [SCRIPT.rstrip()]
        assert not any("ä".encode() in script for script in found)
    else:
        assert (left.error, found) == ("", [script.rstrip(b"\n") for script in scripts if isinstance(script, bytes)])


def test_a_boothook_goes_through_karpenter(cloud_init: Callable[[bytes], list[Seen]]) -> None:
    """Karpenter types it as a script, and cloud-init looks again."""
    assert cloud_init(document("boothook", "karpenter"))[0].type == mime.BOOTHOOK


def test_cloud_config_in_mime_goes_through_karpenter(cloud_init_leaves: Leaves) -> None:
    """And alone it does not."""
    configs = [
        cloud_init_leaves(document(case, "karpenter")).config for case in ("cloud-config in MIME", "cloud-config")
    ]

    assert configs == [{"packages": ["htop"]}, {}]

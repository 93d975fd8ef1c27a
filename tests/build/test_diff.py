"""`amigen images diff`: two records, what changed between their images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amigen.build.diff import compare_records, diff_lines, diff_markdown, find_records
from amigen.build.record import (
    BuildRecord,
    CheckRecord,
    ImageRecord,
    Kernel,
    PackageChanges,
    recorded_spec,
    write_record,
)
from amigen.cli import main
from tests.build.test_record import RECORD
from tests.outputs import require_valid
from tests.specs import spec

OLD_IMAGE = msgspec.structs.replace(
    RECORD.images[0],
    installed_packages={"bash.arm64": "5.2-1", "kernel.arm64": "6.1.1", "nano.arm64": "7"},
    kernel=Kernel(running="6.1.1", installed=("6.1.1",), modules={"ip_vs": "loaded", "ip_vs_rr": "loaded"}),
    checks=(
        CheckRecord(id="test_a", when="builder", outcome="passed"),
        CheckRecord(id="test_a", when="image", outcome="failed", phase="first boot"),
        CheckRecord(id="test_b", when="builder", outcome="passed"),
        CheckRecord(id="test_c", when="builder", outcome="passed"),
    ),
)
NEW_IMAGE = msgspec.structs.replace(
    OLD_IMAGE,
    image_id="ami-99999999",
    amis={"us-east-1": "ami-99999999", "eu-west-1": "ami-88888888"},
    source_image="ami-base2",
    installed_packages={"bash.arm64": "5.2-2", "kernel6.12.arm64": "6.12.1", "ipvsadm.arm64": "1.31"},
    kernel=Kernel(running="6.12.1", installed=("6.12.1",), modules={"ip_vs": "built in", "ip_vs_sed": "loaded"}),
    checks=(
        CheckRecord(id="test_a", when="builder", outcome="passed"),
        CheckRecord(id="test_a", when="image", outcome="passed", phase="first boot"),
        CheckRecord(id="test_b", when="builder", outcome="not provable"),
        CheckRecord(id="test_d", when="builder", outcome="passed"),
    ),
)
OLD_SPEC = {"kubeProxy": {"mode": "ipvs", "ipvs": {"scheduler": "rr"}}}
NEW_SPEC = {"kubeProxy": {"mode": "ipvs", "ipvs": {"scheduler": "sed"}}, "packages": [{"name": "jq"}]}


def record(image: ImageRecord, of: dict[str, Any], build: str) -> BuildRecord:
    return msgspec.structs.replace(
        RECORD, images=(image,), spec=recorded_spec(spec(of)), build=build, spec_digest=build
    )


OLD, NEW = record(OLD_IMAGE, OLD_SPEC, "old"), record(NEW_IMAGE, NEW_SPEC, "new")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    for each in (OLD, NEW):
        write_record(each, tmp_path / f"amigen-build/web/builds/{each.build}/record.json")
    return "amigen-build/web/builds/old/record.json", "amigen-build/web/builds/new/record.json"


def test_text(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["images", "diff", *files])

    assert capsys.readouterr().out.splitlines() == [
        f"al2023/arm64: {files[0]} -> {files[1]}",
        "  Base image",
        "    source: ami-12345678 -> ami-base2",
        "  Packages changed",
        "    bash.arm64: 5.2-1 -> 5.2-2",
        "  Packages added",
        "    ipvsadm.arm64: 1.31",
        "    kernel6.12.arm64: 6.12.1",
        "  Packages removed",
        "    kernel.arm64: 6.1.1",
        "    nano.arm64: 7",
        "  Kernel",
        "    running: 6.1.1 -> 6.12.1",
        "    installed: 6.1.1 -> 6.12.1",
        "  Modules",
        "    ip_vs: loaded -> built in",
        "    ip_vs_rr: loaded -> not there",
        "    ip_vs_sed: not there -> loaded",
        "  Checks that pass now",
        "    test_a: failed -> passed",
        "    test_d: absent -> passed",
        "  Checks that passed before",
        "    test_b: passed -> not provable",
        "    test_c: passed -> absent",
        "  Spec",
        "    kubeProxy.ipvs.scheduler: rr -> sed",
        "    packages[0].name: not there -> jq",
    ]


def test_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["images", "diff", *files, "--output", "json"]
    main(words)

    out = capsys.readouterr().out
    require_valid(words, out)
    (found,) = json.loads(out)["diffs"]
    assert found["packages"]["changed"] == {"bash.arm64": ["5.2-1", "5.2-2"]}
    assert found["kernel"] == {"from": "6.1.1", "to": "6.12.1"}
    assert found["modules"]["ip_vs_rr"] == {"from": "loaded", "to": None}
    assert found["won"] == [
        {"id": "test_a", "from": "failed", "to": "passed"}, {"id": "test_d", "from": "absent", "to": "passed"}
    ]  # fmt: skip
    assert found["spec"]["kubeProxy.ipvs.scheduler"] == {"from": "rr", "to": "sed"}
    assert found["to"]["image"] == "ami-99999999"


def test_markdown(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of a package manager or a spec is read as Markdown."""
    main(["images", "diff", *files, "--output", "markdown"])

    out = capsys.readouterr().out
    assert out.startswith("## al2023 arm64\n\n`ami-87654321` to `ami-99999999`\n\n### Base image\n\n")
    assert "### Packages changed\n\n- `bash.arm64`: `5.2-1 -> 5.2-2`\n" in out
    odd = record(msgspec.structs.replace(NEW_IMAGE, installed_packages={"a`b``c": "<b>1</b>"}), NEW_SPEC, "odd")
    lines = list(diff_markdown(compare_records(("a", "b"), (OLD, OLD.images), (odd, odd.images))))
    assert "- ``` a`b``c ```: `<b>1</b>`" in lines


def test_amis_are_found_in_the_records(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """By the AMI of the build or by a copy."""
    main(["images", "diff", "ami-87654321", "ami-88888888"])

    assert "al2023/arm64: ami-87654321 -> ami-88888888" in capsys.readouterr().out


def test_what_is_not_there_is_one_error(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["ami-00000000", files[0]], "no build record in amigen-build names ami-00000000"),
        (["nothing.json", files[0]], "nothing.json"),
        ([*files, "--platform", "debian-12"], "they have: al2023/arm64"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["images", "diff", *words])
        assert end.value.code == 14
        assert said in capsys.readouterr().err


def test_images_of_other_platforms_cannot_be_compared() -> None:
    other = record(msgspec.structs.replace(NEW_IMAGE, platform="debian-12"), NEW_SPEC, "other")

    with pytest.raises(Exception, match="a has images of al2023/arm64, and b of debian-12/arm64"):
        compare_records(("a", "b"), (OLD, OLD.images), (other, other.images))


def test_the_same_image() -> None:
    lines = list(diff_lines(compare_records(("a", "b"), (OLD, OLD.images), (OLD, OLD.images))))

    assert lines == ["al2023/arm64: a -> b", "  no difference is known"]


# -- records of 0.1.0, without the full list and the spec --------------------------------------------------------------


def of_0_1_0(image: ImageRecord, packages: PackageChanges, digest: str = "d") -> BuildRecord:
    image = msgspec.structs.replace(image, installed_packages={}, packages=packages)
    return msgspec.structs.replace(RECORD, images=(image,), spec={}, spec_digest=digest)


def test_records_without_the_list_are_compared_by_what_both_did_to_one_base() -> None:
    """ipvsadm came, nano was kept by the second, libc is of another version, jq was added by both."""
    old = of_0_1_0(
        OLD_IMAGE, PackageChanges(added={"jq": "1"}, changed={"libc": ("1", "2")}, removed={"nano": "7", "ed": "1"})
    )
    new = of_0_1_0(
        OLD_IMAGE,
        PackageChanges(added={"jq": "1", "ipvsadm": "1.31"}, changed={"libc": ("1", "3")}, removed={"ed": "1"}),
    )

    (found,) = compare_records(("a", "b"), (old, old.images), (new, new.images))

    assert found.packages == PackageChanges(added={"ipvsadm": "1.31", "nano": "7"}, changed={"libc": ("2", "3")})
    assert found.notes == ()


def test_what_records_of_two_bases_do_not_say_is_a_note() -> None:
    old, new = of_0_1_0(OLD_IMAGE, PackageChanges()), of_0_1_0(NEW_IMAGE, PackageChanges(), "e")

    (found,) = compare_records(("a", "b"), (old, old.images), (new, new.images))

    assert (found.packages, found.spec) == (None, None)
    assert found.notes == (
        "packages are not known: a record has no full package list, and the two bases differ",
        "the specs differ; a record does not say what its spec said",
    )


def test_a_record_of_0_1_0_is_readable(tmp_path: Path) -> None:
    """As it was written: no key of today."""
    document = json.loads(msgspec.json.encode(RECORD))
    del document["spec"], document["images"][0]["installedPackages"]
    (tmp_path / "record.json").write_text(json.dumps(document))

    assert find_records(str(tmp_path / "record.json"), tmp_path)[0] == RECORD


# -- what is recorded of a spec ----------------------------------------------------------------------------------------


def test_no_content_and_no_password_is_recorded() -> None:
    recorded = recorded_spec(
        spec(
            {
                "files": [{"path": "/etc/secret", "content": "swordfish", "mode": "0600"}],
                "hooks": {"after": [{"name": "x", "script": "echo swordfish"}]},
            }
        )
    )

    assert "swordfish" not in str(recorded)
    assert recorded["files[0].content"].startswith("sha256:")
    json.dumps(recorded)

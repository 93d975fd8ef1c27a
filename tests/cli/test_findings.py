"""How findings about a spec look, and how a spec is found that nobody named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from amigen.base.errors import InputError
from tests.cli.conftest import Amigen
from tests.specs import mapping, problems

SpecFile = Callable[..., str]
HEAD = "apiVersion: amigen/v1alpha1\nkind: NodeImage\nname: x\nkubernetesVersion: '1.34'\n"


def test_a_finding_shows_its_line_with_a_caret(amigen: Amigen, tmp_path: Path) -> None:
    """Below the line that editors jump to; the carets are as long as the word."""
    (tmp_path / "s.yaml").write_text(HEAD + "platforms: [noble, al2023]\n")
    done = amigen("check", "s.yaml")

    assert done.stderr.decode().splitlines()[1:] == [
        "  |",
        "5 | platforms: [noble, al2023]",
        "  |             ^^^^^",
        "s.yaml: 1 error; nothing was done",
    ]


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_color_only_where_it_is_wanted(
    environment: dict[str, str], colored: bool, amigen: Amigen, spec_file: SpecFile
) -> None:
    """A pipe gets none; https://no-color.org and FORCE_COLOR are kept."""
    done = amigen("check", spec_file({"platforms": ["x"]}), **environment)

    assert (b"\x1b[" in done.stderr) == colored


def test_a_long_line_is_cut_around_its_place_and_hides_passwords(amigen: Amigen, tmp_path: Path) -> None:
    """A certificate of two thousand characters does not fill the screen, nor does a password reach a log."""
    url = "http://user:secret@proxy:3128"
    (tmp_path / "s.yaml").write_text(
        f"{HEAD}platforms: [al2023]\npackageSources: {{noProxy: [{'a' * 200}], proxy: '{url}'}}\n"
    )
    done = amigen("check", "s.yaml").stderr.decode()

    assert "secret" not in done
    assert "***********@proxy:3128" in done
    assert max(map(len, done.splitlines())) < 200
    (line, caret) = done.splitlines()[2:4]
    assert line[caret.index("^")] == "'"


@pytest.mark.parametrize(
    ("key", "word", "meant"),
    [
        ("architectures", "amd64", "x86_64"),
        ("architectures", "aarch64", "arm64"),
        ("platforms", "amazon-linux-2023", "al2023"),
        ("platforms", "AL2023", "al2023"),
        ("platforms", "noble", "ubuntu-24.04"),
        ("platforms", "Ubuntu2204", "ubuntu-22.04"),
        ("platforms", "bookworm", "debian-12"),
        ("platforms", "trixie", "debian-13"),
    ],
)
def test_the_words_of_others_are_known(key: str, word: str, meant: str) -> None:
    """Of Docker, uname, AWS and the distributions."""
    (problem,) = problems({key: [word]})

    assert f"did you mean {meant!r}?" in problem.hint


def test_the_one_spec_of_a_folder_needs_no_name(amigen: Amigen, spec_file: SpecFile, tmp_path: Path) -> None:
    """Other YAML files do not count; what was taken is said on stderr."""
    spec_file()
    (tmp_path / "values.yaml").write_text("a: 1\n")
    for command in (["plan"], ["check"], ["user-data"], ["render", "-o", "out"], ["user-data", "--base64"]):
        done = amigen(*command)
        assert done.returncode == 0, done.stderr
        assert b"amigen: using spec.yaml" in done.stderr
        assert b"using" not in done.stdout


def test_a_folder_or_the_variable_names_a_spec(amigen: Amigen, spec_file: SpecFile, tmp_path: Path) -> None:
    """AMIGEN_SPEC is a file or a folder, and what is named on the command line goes before it."""
    (tmp_path / "a").mkdir()
    named = spec_file({"name": "named"}, name="a/spec.yaml")
    other = spec_file({"name": "other"}, name="other.yaml")
    (tmp_path / "a" / "b").mkdir()

    assert amigen("plan", "a").stdout.startswith(b"named on")
    assert amigen("plan", AMIGEN_SPEC=named).stdout.startswith(b"named on")
    assert amigen("plan", AMIGEN_SPEC="a").stdout.startswith(b"named on")
    assert amigen("plan", other, AMIGEN_SPEC="a").stdout.startswith(b"other on")
    assert amigen("plan", "a/b").returncode == InputError.exit_code


def test_several_specs_are_listed_and_none_is_taken(amigen: Amigen, spec_file: SpecFile) -> None:
    """A guess would be wrong half of the time."""
    spec_file(name="a.yaml")
    spec_file(name="b.yaml")
    done = amigen("plan")

    assert done.returncode == InputError.exit_code
    assert b"several specs: a.yaml, b.yaml" in done.stderr


def test_check_takes_many_files(amigen: Amigen, spec_file: SpecFile) -> None:
    """Each with its own verdict; one that is wrong makes the whole wrong."""
    good, bad = spec_file(name="good.yaml"), spec_file({"platforms": ["x"]}, name="bad.yaml")
    done = amigen("check", good, bad)
    listed = json.loads(amigen("check", good, bad, "--output", "json").stdout)

    assert done.returncode == 3
    assert b"good.yaml: ok" in done.stdout
    assert b"bad.yaml: 1 error" in done.stderr
    assert [(each["file"], each["ok"]) for each in listed["files"]] == [("good.yaml", True), ("bad.yaml", False)]
    assert amigen("check", good, good).returncode == 0


def test_strict_names_warnings_as_what_they_are(amigen: Amigen, tmp_path: Path) -> None:
    """Not as no errors."""
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(mapping({"kubernetesVersion": "1.36"})))
    done = amigen("check", "s.yaml", "--strict")

    assert done.returncode == 3
    assert b"1 warning, treated as an error" in done.stderr


def test_verify_finds_the_spec_and_keeps_its_targets(amigen: Amigen, spec_file: SpecFile) -> None:
    """The first of its words is a target, where no word is a spec."""
    file = Path(spec_file())
    Path(amigen.keywords["cwd"], "empty.qcow2").touch()  # type: ignore[attr-defined]

    assert b"amigen: using spec.yaml" in amigen("verify", "empty.qcow2").stderr
    assert b"no-such-target: no such target" in amigen("verify", file.name, "no-such-target").stderr


def test_init_says_what_it_chose_and_writes_the_schema_for_editors(amigen: Amigen, tmp_path: Path) -> None:
    """Several platforms and architectures; the schema line points to a file that takes the spec."""
    done = amigen("init", "--platform", "al2023", "--platform", "debian-12", "--architecture", "arm64")
    text = (tmp_path / "node-image.yaml").read_text()
    schema = tmp_path / text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")

    assert done.returncode == 0
    assert b"Amazon Linux 2023, Debian 12 (as asked" in done.stdout
    assert b"Kubernetes 1.36 (default: in standard support of EKS on 2026-" in done.stdout
    assert yaml.safe_load(text)["platforms"] == ["al2023", "debian-12"]
    assert yaml.safe_load(text)["architectures"] == ["arm64"]
    jsonschema.validate(yaml.safe_load(text), json.loads(schema.read_text()))
    assert amigen("plan").returncode == 0


def test_a_default_is_shown_at_what_it_depends_on(amigen: Amigen, spec_file: SpecFile) -> None:
    """Not at the first line of the file, which has nothing to do with it."""
    said = amigen("check", spec_file({"kubernetesVersion": "1.36"})).stdout.decode()

    assert "kubeProxy.mode: " in said
    assert "| kubernetesVersion: '1.36'" in said
    assert "| apiVersion" not in said

"""The JSON Schema and the reference, both made from the model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from amigen.base.errors import SpecError
from amigen.spec.document import compose
from amigen.spec.load import load_spec, parse_spec, spec_digest
from amigen.spec.model import NodeImage
from amigen.spec.reader import Reader
from amigen.spec.schema import json_schema
from amigen.spec.shape import Shape, fields
from tests.specs import EKS, EXAMPLES, GOLDEN, ROOT, mapping, spec
from tools.spec_reference import reference

KITCHEN_SINK: dict[str, Any] = yaml.safe_load((GOLDEN / "kitchen-sink" / "spec.yaml").read_text())


def check_jsonschema(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    file.write_text(json.dumps(json_schema()))
    return file


def test_schema_is_a_schema(schema_file: Path) -> None:
    """check-jsonschema finds it valid against its own metaschema."""
    found = check_jsonschema("--check-metaschema", str(schema_file))

    assert found.returncode == 0, found.stdout + found.stderr


def test_examples_are_valid_by_the_schema(schema_file: Path) -> None:
    """Every example passes check-jsonschema, and so does the spec that uses every field."""
    files = [*map(str, EXAMPLES), str(GOLDEN / "kitchen-sink" / "spec.yaml")]
    found = check_jsonschema("--schemafile", str(schema_file), *files)

    assert found.returncode == 0, found.stdout + found.stderr


def test_schema_refuses_unknown_keys(schema_file: Path, tmp_path: Path) -> None:
    """A wrong key is red in an editor too."""
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(mapping({"kubeproxy": {}})))
    found = check_jsonschema("--schemafile", str(schema_file), str(file))

    assert found.returncode == 1
    assert "kubeproxy" in found.stdout


def _patterns_to_the_end(node: Any) -> Any:
    """Python's `$` also matches before a line end; that of ECMA 262, which JSON Schema means, does not."""
    if isinstance(node, dict):
        return {
            key: re.sub(r"\$$", r"\\Z", value)
            if key == "pattern" and isinstance(value, str)
            else _patterns_to_the_end(value)
            for key, value in node.items()
        }
    return [_patterns_to_the_end(item) for item in node] if isinstance(node, list) else node


VALIDATOR = jsonschema.Draft202012Validator(_patterns_to_the_end(json_schema()))


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a document."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from places(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, (*path, index))


PLACES = [path for path in places(KITCHEN_SINK) if path]
# No null (`packages:` means an empty list to us, and nothing to a schema), no 2.0 (an integer to JSON Schema, text with
# a fraction to YAML), no number beyond 64 bits.
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**31),
    st.just(0.5),
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["", "a", "x\n", " a", "a b", "/etc/a", "0644", "1.30", "rr", "10.0.0.0/8", "$(id)", "--a=b", "a" * 300]
    ),
    st.lists(st.sampled_from(["a", "ipvs", 1]), max_size=3),
    st.dictionaries(st.sampled_from(["name", "a", "x y", "net.core.a"]), st.sampled_from(["a", 1, True]), max_size=2),
)


@given(place=st.sampled_from(PLACES), value=VALUES, add=st.sampled_from([None, "name", "unknown", "x y"]))
def test_schema_and_reader_agree(place: tuple[Any, ...], value: Any, add: str | None) -> None:
    """One value of the spec that uses every field is changed, or a key added: both say valid, or both say invalid."""
    document = json.loads(json.dumps(KITCHEN_SINK))
    target = document
    for step in place[:-1]:
        target = target[step]
    if add and isinstance(target, dict):
        target[add] = value
    else:
        target[place[-1]] = value

    assert VALIDATOR.is_valid(document) == readable(document), document


def readable(document: dict[str, Any]) -> bool:
    """Whether the reader alone is content: the schema knows no rules."""
    reader = Reader()
    reader.struct(compose(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True).encode()), NodeImage, "")
    return not reader.problems


def all_keys(struct: type[msgspec.Struct], path: str) -> Iterator[tuple[str, str]]:
    """(heading of the reference, key) of every field of the model."""
    for key, (_, shape, _) in fields(struct).items():
        yield path or "Top level", key
        inner: Shape | None = shape
        suffix = {"list": "[]", "map": ".*"}.get(shape.kind, "")
        if suffix:
            inner = shape.item
        if inner and inner.kind == "struct":
            yield from all_keys(inner.type, (f"{path}.{key}" if path else key) + suffix)


@pytest.mark.parametrize(("heading", "key"), list(all_keys(NodeImage, "")), ids=str)
def test_reference_names_every_key(heading: str, key: str) -> None:
    """Under the heading of its mapping, each key has a row with a description and a default."""
    text = reference()
    title = heading if heading == "Top level" else f"`{heading}`"
    section = text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{key}` |")]
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]

    assert len(cells) == 4
    assert all(cells)


MERGE = {("userData", "merge"), ("Top level", "userData")}


def test_kitchen_sink_uses_every_key() -> None:
    """The golden spec that uses every field is told about a new field by this test."""

    def used(node: Any, struct: type[msgspec.Struct], path: str) -> Iterator[tuple[str, str]]:
        for key, (_, shape, _) in fields(struct).items():
            if key not in node:
                continue
            yield path or "Top level", key
            inner, suffix, nodes = shape, "", [node[key]]
            if shape.kind == "list" and shape.item:
                inner, suffix, nodes = shape.item, "[]", node[key]
            elif shape.kind == "map" and shape.item:
                inner, suffix, nodes = shape.item, ".*", list(node[key].values())
            if inner.kind == "struct":
                for child in nodes:
                    yield from used(child, inner.type, (f"{path}.{key}" if path else key) + suffix)

    # Ubuntu's bootstrap.sh has no argument for what only nodeadm can be told: an example for al2023 has that.
    nodeadm = yaml.safe_load((ROOT / "examples" / "eks-al2023-nodeadm.yaml").read_text())
    unused = set(all_keys(NodeImage, "")) - {*used(KITCHEN_SINK, NodeImage, ""), *used(nodeadm, NodeImage, "")}
    # Two platforms, three ways to name a source AMI of which one can be used for each; the examples have none by id.
    # And it names security groups of its own, beside which there is no temporary one to limit.
    # No example is on an Outpost, and userData.merge needs a file beside the spec.
    outpost = {("join.eks", "enableOutpost"), ("join.eks", "id")}
    # Its network is named and not found by filters, it uses Session Manager, and it is encrypted, so not public.
    # tests/build/test_packer_files.py gives these to the real Packer.
    builder = {each for each in all_keys(NodeImage, "") if each[0].startswith("aws.builder")}
    # Its local bases are named by path and URL, for arm64 (tests/build/test_official_base.py builds from the others).
    local = {("local", "firmware"), ("local.bases.*", "mmdebstrap")}
    others = {("aws", "amiName"), ("aws.share", "public"), *local}
    known = {("aws.sourceAmis.*", "id"), ("aws", "sshSourceCidrs"), *outpost, *others, *MERGE}
    assert unused - {("aws", "builder"), *builder} == known


def test_digest_is_of_what_is_said_and_not_of_how() -> None:
    """Defaults written out, keys in another order, another style: the same digest; another value: another."""
    one = spec({"kubeProxy": {"mode": "ipvs", "ipvs": {"scheduler": "rr"}}, "architectures": ["x86_64"]})
    turned = dict(reversed(list(mapping({"aws": {"tags": {"b": "1", "a": "2"}}}).items())))

    assert spec_digest(one) == spec_digest(spec())
    assert spec_digest(parse_spec(turned)) == spec_digest(spec({"aws": {"tags": {"a": "2", "b": "1"}}}))
    assert spec_digest(spec({"gate": True})) != spec_digest(spec())


def test_a_rule_is_no_part_of_the_schema() -> None:
    """What depends on more than one field is said by `check` alone; the two do not overlap."""
    wrong = mapping({"packages": [{"name": "x", "platforms": ["debian-12"]}]})

    assert VALIDATOR.is_valid(wrong)
    with pytest.raises(SpecError):
        parse_spec(wrong)


def test_the_reference_is_the_models() -> None:
    """`make docs` has been run after the last change of the model."""
    assert (ROOT / "docs" / "spec.md").read_text() == reference()


def test_every_pattern_says_in_words_what_it_allows() -> None:
    """A person who is refused is not shown a regular expression, nor just `text`."""
    from amigen.spec import values

    bare = [
        name
        for name, type_ in vars(values).items()
        for meta in getattr(type_, "__metadata__", ())
        if meta.extra_json_schema and not meta.description
    ]

    assert bare == []


def test_a_field_of_a_later_version_leaves_the_digest_of_older_specs() -> None:
    """An upgrade of amigen does not make nodes differ from their spec: the digests are those of 0.1.0."""
    known = {
        "minimal": "abe7d37be9fc",
        "eks-al2023-ipvs": "df1cb6897d6b",
        "eks-ubuntu-large-cluster": "d9d0d3826544",
        "closed-network": "14033ad7a016",
    }
    found = {name: spec_digest(load_spec(ROOT / "examples" / f"{name}.yaml"))[:12] for name in known}

    assert found == known
    assert spec_digest(spec({"join": {"eks": {**EKS, "id": "a"}}})) != spec_digest(spec({"join": {"eks": EKS}}))

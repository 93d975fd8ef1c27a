"""Any spec, and any text in any field: refused with its place, or on the node as it was written."""

from __future__ import annotations

import os
import shutil
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amigen.base.errors import SpecError
from amigen.plan.describe import plan_lines
from amigen.plan.make import plan_images
from amigen.render.artifacts import artifacts
from amigen.spec.load import check_bytes, parse_spec
from tests.hostile.corpus import strings
from tests.properties.generate import as_yaml, random_spec, valid_spec
from tests.properties.places import KEYED, TEXTS, Place, at, is_there, kitchen_sink, put, rename, steps
from tests.properties.reading import read_back, same
from tests.properties.running import run_and_compare, runnable
from tests.specs import mapping

RANDOM = st.randoms(use_true_random=False)
HOSTILE = st.one_of(st.text(max_size=30), st.sampled_from(strings()), st.lists(st.sampled_from(strings())).map("".join))
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root: another root cannot be entered"
)


def refused_with_places(document: dict[str, Any], error: SpecError) -> None:
    """Each problem has a line, and a key path that leads to something in the document."""
    assert any(problem.severity == "error" for problem in error.problems)
    for problem in error.problems:
        assert problem.line > 0, problem
        assert problem.message
        assert is_there(document, steps(problem.path)), problem
        assert problem.text("f").isprintable()


@given(RANDOM, st.sampled_from([0.0, 0.1, 0.5]))
def test_a_random_spec_is_refused_with_places_or_renders(rng: Random, hostile: float) -> None:
    """Nothing else than a SpecError leaves the check, and nothing at all what comes after it."""
    document = random_spec(rng, hostile=hostile)
    try:
        spec = parse_spec(document)
    except SpecError as error:
        refused_with_places(document, error)
    else:
        read_back(spec)


@settings(max_examples=40)
@given(RANDOM)
def test_a_valid_spec_is_read_back_from_all_that_is_rendered(rng: Random) -> None:
    """Scripts, suites, Packer files, user data and plan hold what the spec holds; twice the same bytes."""
    document = valid_spec(rng)
    spec = parse_spec(document)

    read_back(spec)
    assert same(artifacts(spec), artifacts(parse_spec(as_yaml(document))))


def test_the_valid_specs_are_not_all_small() -> None:
    """The tests above look at specs that have something in them."""
    made = [valid_spec(Random(seed)) for seed in range(200)]

    assert sum(document != mapping() for document in made) > 180
    for key in ("files", "hooks", "sysctls", "packages", "join", "aws", "local", "packageSources", "modules", "gate"):
        assert sum(bool(document.get(key)) for document in made) > 10, key


@given(place=st.sampled_from(TEXTS), value=HOSTILE)
def test_a_hostile_text_is_refused_at_its_place_or_arrives(place: Place, value: str) -> None:
    """Every field of text, one at a time."""
    document = kitchen_sink()
    put(document, place, value)
    _refused_or_rendered(document, place, value)


@settings(max_examples=50)
@given(place=st.sampled_from(KEYED), key=HOSTILE)
def test_a_hostile_key_is_refused_at_its_place_or_arrives(place: Place, key: str) -> None:
    """Every mapping whose keys are the user's."""
    document = kitchen_sink()
    rename(document, place, key)
    _refused_or_rendered(document, (*place[:-1], key), at(document, (*place[:-1], key)))


def _refused_or_rendered(document: dict[str, Any], place: Place, value: Any) -> None:
    try:
        spec = parse_spec(document)
    except SpecError as error:
        refused_with_places(document, error)
        # One problem at least stands at the field, or at what holds it; where rules weigh two, maybe at the other.
        near = [steps(problem.path) for problem in error.problems if problem.severity == "error"]
        assert place[0] in _WEIGHED or any(place[: len(n)] == n or n[: len(place)] == place for n in near), near
    else:
        assert at(_plain(spec), place) == value
        read_back(spec)
        for plan in plan_images(spec):
            assert all(line.isprintable() for line in plan_lines(plan))


_WEIGHED = {"kubernetesVersion", "platforms", "architectures"}


def _plain(spec: Any) -> Any:
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(spec))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    """No document of two hundred random bytes is a spec; its problems fit on a terminal."""
    found = check_bytes(content)

    assert found.spec is None
    assert all(problem.text("f").isprintable() for problem in found.problems)


@pytest.mark.slow
@needs_root
@settings(max_examples=12)
@given(RANDOM)
def test_what_the_script_writes_is_what_the_spec_says(rng: Random) -> None:
    """The rendered script, run in a root of its own: every file to the byte, no file that nobody asked for."""
    document = runnable(valid_spec(rng, hostile=0.3))
    if check_bytes(as_yaml(document)).errors:
        document = runnable(mapping())

    assert run_and_compare(document) > 0

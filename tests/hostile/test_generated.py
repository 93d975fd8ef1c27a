"""Ten thousand generated specs, on one core within minutes; each seed is one spec, so that a failure names its own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import pytest

from amigen.base.errors import SpecError
from amigen.plan.describe import plan_lines
from amigen.plan.make import plan_images
from amigen.render.artifacts import artifacts
from amigen.render.folder import write
from amigen.spec.load import check_bytes, parse_spec
from tests.hostile.test_documents import MEGABYTE, python
from tests.properties.generate import as_yaml, random_spec, valid_spec
from tests.properties.reading import read_back
from tests.properties.running import run_and_compare, runnable
from tests.properties.test_specs import needs_root, refused_with_places

COUNT = 10_000
PARTS = 10
# Of one process that handles a thousand specs, the tests' own libraries included.
MEMORY, SECONDS = 512 * MEGABYTE, 150
EXECUTED = 120


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_specs(part: int) -> None:
    """As drawn: refused with places, or planned and rendered. Without what was refused: rendered; each tenth read back,
    and each fiftieth written to a folder. In a process that may not take more memory than such specs are worth.
    """
    done = python("-m", "tests.hostile.test_generated", str(part), memory=MEMORY, seconds=SECONDS)

    assert done.returncode == 0, done.stderr[-3000:]
    # The generator makes both kinds.
    assert COUNT / PARTS / 4 < int(done.stdout) < COUNT / PARTS


def handle(part: int) -> int:
    """One part of the specs; how many of them were refused as they were drawn."""
    refused = 0
    for seed in range(part * COUNT // PARTS, (part + 1) * COUNT // PARTS):
        rng = Random(seed)
        document = random_spec(rng, hostile=rng.choice((0.0, 0.02, 0.2)))
        try:
            parse_spec(document)
        except SpecError as error:
            refused += 1
            refused_with_places(document, error)
        spec = parse_spec(valid_spec(rng))
        for plan in plan_images(spec):
            assert all(line.isprintable() for line in plan_lines(plan)), seed
        if seed % 10:
            artifacts(spec)
        else:
            read_back(spec)
        if seed % 50 == 1:
            written_inside(spec)
    return refused


def written_inside(spec: object) -> None:
    """What is rendered lies in its folder, all of it, and nothing beside it."""
    made = artifacts(spec)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        write(folder, made)
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert there - {".amigen.json"} == {artifact.path for artifact in made}
        assert [path.name for path in Path(name).iterdir()] == ["out"]


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_some_of_them_are_run(part: int) -> None:
    """The rendered script of one platform each, in a bare root: every file to the byte, and no other."""
    compared = 0
    for seed in range(part, EXECUTED, 4):
        document = runnable(valid_spec(Random(seed), hostile=0.1))
        document["platforms"] = [document["platforms"][seed % len(document["platforms"])]]
        if not check_bytes(as_yaml(document)).errors:
            compared += run_and_compare(document, twice=False)
    assert compared > EXECUTED / 2


if __name__ == "__main__":
    print(handle(int(sys.argv[1])))

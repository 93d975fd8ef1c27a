"""Ten thousand generated specs, on one core within minutes; each seed is one spec, so that a failure names its own."""

from __future__ import annotations

from random import Random

import pytest

from amigen.errors import SpecError
from amigen.render.artifacts import artifacts
from amigen.spec.load import parse_spec
from tests.properties.generate import random_spec, valid_spec
from tests.properties.reading import read_back
from tests.properties.test_specs import refused_with_places

COUNT = 10_000
PARTS = 10


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_specs(part: int) -> None:
    """As drawn: refused with places, or rendered. Without what was refused: rendered, and each tenth read back."""
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
        if seed % 10:
            artifacts(spec)
        else:
            read_back(spec)
    # The generator makes both kinds.
    assert COUNT / PARTS / 4 < refused < COUNT / PARTS

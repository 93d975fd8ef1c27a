"""What the tests of verifying share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.verify.good_root import Good, good_root


@pytest.fixture(scope="session")
def good() -> Iterator[Good]:
    """A good root, made once; who breaks something in it mends it."""
    with good_root() as made:
        yield made

"""The whole process of `amigen render` against the floor: importing what it cannot do without."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.row import Row, in_turn

FLOOR = [sys.executable, "-c", "import jinja2, yaml, click"]


def rows() -> Iterator[Row]:
    """A render that finds the folder up to date, one that writes it anew, and a check."""
    amigen = str(Path(sys.executable).with_name("amigen"))
    with tempfile.TemporaryDirectory() as work:
        for spec in ("minimal", "eks-al2023-ipvs"):
            command = [amigen, "render", f"examples/{spec}.yaml", "-o", f"{work}/{spec}"]
            what = f"amigen render {spec} / import jinja2, yaml, click"
            yield Row(what=what, values=in_turn(command, FLOOR, runs=45), at_most=2.5)
        assert (Path(work) / "minimal" / "al2023").is_dir()

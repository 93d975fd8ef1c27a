"""The thousand strings: each in every field, and all of them on a node."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen.plan.make import plan_images
from amigen.render.artifacts import artifacts
from amigen.render.packer import image_tags, packer_files
from amigen.spec.kubelet_api import kubelet_api
from amigen.spec.load import Checked, check_bytes, parse_spec
from tests.hostile.corpus import SIZE, generate, strings
from tests.properties.generate import as_yaml
from tests.properties.places import KEYED, TEXTS, Place, at, kitchen_sink, put, rename, steps
from tests.properties.running import run_and_compare
from tests.properties.test_specs import needs_root
from tests.real.packer import packer_environment
from tests.specs import joins, mapping

CORPUS = strings()
_API = kubelet_api("1.34")
assert _API
# Those that take any text.
TEXT_FLAGS = [
    name for name, type_ in _API.flags.items() if type_ == "string" and not [*_API.check_flag(f"--{name}=*", "")]
]
# Of mappings with the user's own keys, one entry each: two keys cannot become one.
ENTRIES = list({place[:-1]: place for place in KEYED}.values())
# Where one of these is another one, a rule may find fault with a field that says nothing wrong itself.
_WEIGHED = ("kubernetesVersion", "platforms", "architectures", "modules")


def test_the_corpus_is_that_of_its_seeds() -> None:
    """`python -m tests.hostile.corpus` writes it anew."""
    assert generate() == CORPUS
    assert len(set(CORPUS)) == SIZE == 1000


@pytest.mark.slow
@pytest.mark.parametrize("places", [TEXTS, ENTRIES], ids=["values", "keys"])
def test_each_string_in_every_field(places: list[Place]) -> None:
    """In all fields at once, then in those that took it: each refuses it at its place, or holds it and renders."""
    change = put if places is TEXTS else rename
    taken = 0
    for text in CORPUS:
        checked, left = _what_is_taken(text, places, change)
        document = json.loads(_encoded(checked.require()))
        for place in left:
            if change is put:
                assert at(document, place) == text, place
            else:
                assert text in at(document, place[:-1]), place
        if left:
            artifacts(checked.require())
        taken += len(left)
    # Most fields are names, and take next to none of these; content and paths take nearly all.
    assert taken > SIZE / 10


def _what_is_taken(text: str, places: list[Place], change: Any) -> tuple[Checked, list[Place]]:
    left = list(places)
    for _ in range(12):
        document = kitchen_sink()
        for place in left:
            change(document, place, text)
        checked = check_bytes(as_yaml(document))
        if not checked.errors:
            return checked, left
        found = [steps(problem.path) for problem in checked.errors]
        refused = [place for place in left if any(_is_about(place, error, text, change) for error in found)]
        refused = refused or [place for place in left if place[0] in _WEIGHED]
        assert refused, (text, checked.errors)
        left = [place for place in left if place not in refused]
    raise AssertionError(f"no end with {text!r}")


def _is_about(place: Place, error: Place, text: str, change: Any) -> bool:
    now = place if change is put else (*place[:-1], text)
    return now[: len(error)] == error or error[: len(now)] == now


def _encoded(spec: Any) -> bytes:
    import msgspec

    encoded: bytes = msgspec.json.encode(spec)
    return encoded


def accepted(texts: list[str], make: Any) -> list[str]:
    """Those that a spec takes."""
    return [text for text in texts if not check_bytes(as_yaml(make([text]))).errors]


def batches(texts: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def spec_of(**change: Any) -> dict[str, Any]:
    return mapping({"kubeProxy": {"mode": "iptables"}, "platforms": ["ubuntu-24.04"]}, change)


def files(texts: list[str]) -> dict[str, Any]:
    """Each as the content of a file, and where it can be, as its name too."""
    made = [{"path": f"/opt/{n}/{text.lstrip('/')}", "content": text} for n, text in enumerate(texts)]
    good = (not check_bytes(as_yaml(spec_of(files=[file]))).errors for file in made)
    return spec_of(
        files=[
            {**f, "path": f["path"] if g else f"/opt/{n}/x"} for n, (f, g) in enumerate(zip(made, good, strict=True))
        ]
    )


def hooks(texts: list[str]) -> dict[str, Any]:
    """The text stands behind the end of the script: it must be in the file, and must not be run."""
    made = [{"name": f"h{n}", "script": f"exit 0\n{text}"} for n, text in enumerate(texts)]
    return spec_of(hooks={"before": made[:32], "after": made[32:]})


def flags(texts: list[str]) -> dict[str, Any]:
    """Arguments of the script that joins an Ubuntu node: flags that the kubelet has, once each."""
    return spec_of(**joins(flags=[f"--{name}={text}" for name, text in zip(TEXT_FLAGS, texts, strict=False)]))


def settings_(texts: list[str]) -> dict[str, Any]:
    return spec_of(sysctls={f"net.core.x{n}": text for n, text in enumerate(texts)})


def no_proxy(texts: list[str]) -> dict[str, Any]:
    return spec_of(packageSources={"proxy": "http://p:1", "noProxy": texts})


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "size", "at_least"),
    [(files, 256, 1000), (hooks, 64, 950), (flags, 43, 380), (settings_, 256, 600), (no_proxy, 64, 80)],
    ids=["files", "hooks", "flags", "sysctls", "noProxy"],
)
def test_the_corpus_is_on_the_node_as_it_was_written(make: Any, size: int, at_least: int) -> None:
    """All strings that a field takes, in as few specs as can be, run in a bare root: every byte, and no canary.

    In turn as Ubuntu and as Amazon Linux, where the script does what its argument says: only Ubuntu joins by words.
    """
    kept = accepted(CORPUS, make)
    assert len(kept) >= at_least
    platforms = ["ubuntu-24.04", "al2023"] if make is not flags else ["ubuntu-24.04"]
    for number, batch in enumerate(batches(kept, size)):
        run_and_compare({**make(batch), "platforms": [platforms[number % len(platforms)]]})


def test_many_of_the_strings_can_be_names_of_files() -> None:
    """The test above does not only look at contents."""
    made = files(CORPUS[:256])["files"]

    assert sum(file["path"] != f"/opt/{n}/x" for n, file in enumerate(made)) > 100


def tags(texts: list[str]) -> dict[str, Any]:
    return spec_of(aws={"baseImage": "plain", "tags": {f"t{n}": text for n, text in enumerate(texts)}})


def tag_keys(texts: list[str]) -> dict[str, Any]:
    return spec_of(aws={"baseImage": "plain", "tags": dict.fromkeys(texts, "x")})


@pytest.mark.slow
@pytest.mark.parametrize("make", [tags, tag_keys])
def test_packer_reads_the_corpus_back(make: Any, tmp_path: Path) -> None:
    """The rendered locals, read by the real Packer, which prints the tags that it makes of them.

    Without the other blocks: `packer console` of 1.15 often prints no locals where a file has data sources.
    """
    kept = accepted(CORPUS, make)
    assert len(kept) > 20
    for batch in batches(kept, 36):
        (plan,) = plan_images(parse_spec(make(batch)))
        file = tmp_path / "image.pkr.hcl"
        blocks = re.findall(r'(?ms)^(?:locals|variable "build") \{.*?^}\n', packer_files(plan)["aws/image.pkr.hcl"])
        assert len(blocks) == 2
        file.write_text("".join(blocks))
        done = subprocess.run(
            ["packer", "console", "-config-type=hcl2", "-var", "build=1", str(file)],
            input="base64encode(jsonencode(local.tags))",
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, **packer_environment()},
        )
        assert json.loads(base64.b64decode(done.stdout)) == {**image_tags(plan), "amigen/build": "1"}, done.stderr


def source(**change: Any) -> dict[str, Any]:
    return spec_of(aws={"baseImage": "plain", "sourceAmis": {"ubuntu-24.04": change}})


def filters(texts: list[str]) -> dict[str, Any]:
    return source(filter={"name": texts[0], "owners": ["self"]})


def parameters(texts: list[str]) -> dict[str, Any]:
    return source(ssmParameter=texts[0])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("packer"), reason="needs packer")
@pytest.mark.parametrize(
    ("make", "line", "at_least"),
    [
        (filters, r' {6}"name" += (".*")', 100),
        (parameters, r'data "amazon-parameterstore" "x86_64" \{\n  name += (".*")', 20),
    ],
    ids=["filter", "ssmParameter"],
)
def test_packer_reads_where_an_image_starts_from(make: Any, line: str, at_least: int, tmp_path: Path) -> None:
    """The attribute's value as it was rendered, evaluated by the real Packer (which knows data sources from 1.7 on)."""
    kept = accepted(CORPUS, make)
    assert len(kept) >= at_least
    rendered = []
    for text in kept:
        (plan,) = plan_images(parse_spec(make([text])))
        found = re.search(f"(?m)^{line}$", packer_files(plan)["aws/image.pkr.hcl"])
        assert found, text
        rendered.append(found[1])
    file = tmp_path / "empty.pkr.hcl"
    file.write_text("")
    done = subprocess.run(
        ["packer", "console", "-config-type=hcl2", str(file)],
        input=f"base64encode(jsonencode([{', '.join(rendered)}]))",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert json.loads(base64.b64decode(done.stdout)) == [text.replace("{arch}", "amd64") for text in kept], done.stderr

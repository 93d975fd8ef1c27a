"""Random valid specs, and what is rendered from them, before the programs that will read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from amigen.base.errors import InputError, SizeError
from amigen.export.formats import FORMATS, export_files
from amigen.plan.make import plan_image, plan_images
from amigen.render.artifacts import artifacts
from amigen.render.folder import write
from amigen.scripts.join import node_config
from amigen.spec.load import check_bytes, parse_spec
from amigen.spec.model import Eks, NodeImage
from amigen.userdata.make import user_data
from tests.properties.generate import as_yaml, random_struct, valid, valid_spec
from tests.real.packer import run_packer
from tests.specs import EKS, mapping
from tests.userdata.judges import nodeadm

SPECS = 24


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per spec: `out` as rendered, `scripts` of user data, and `exports`."""
    root = tmp_path_factory.mktemp("specs")
    for seed in range(SPECS):
        rng = Random(seed)
        spec = parse_spec(valid_spec(rng, hostile=rng.choice((0.0, 0.05, 0.3))))
        write(root / str(seed) / "out", artifacts(spec))
        for plan in plan_images(spec):
            (root / str(seed) / "scripts").mkdir(exist_ok=True)
            for name, format_ in (("packed", None), ("plain", False)):
                try:
                    script = user_data(plan, format_="shell", gzip_=format_)
                except (InputError, SizeError):
                    continue
                (root / str(seed) / "scripts" / f"{plan.platform}-{name}.sh").write_bytes(script)
            _export(spec, plan.platform, root / str(seed) / "exports")
    return root


def _export(spec: NodeImage, platform: str, folder: Path) -> None:
    for name, kind in FORMATS.items():
        for source in kind.images or (None,):
            try:
                made = export_files(plan_image(spec, platform), name, image=source, cluster="web")
            except (InputError, SizeError):
                continue
            for each in made:
                file = folder / platform / f"{name}-{source}" / each.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(each.content)


@pytest.mark.parametrize("tool", [["bash", "-n"], ["shfmt", "-ln", "bash", "-l"]], ids=" ".join)
def test_scripts_are_bash(rendered: Path, tool: list[str]) -> None:
    """One after another to bash, which reads no more than one."""
    if not shutil.which(tool[0]):
        pytest.skip(f"not proven here: no {tool[0]}")
    scripts = sorted(rendered.rglob("*.sh"))
    assert len(scripts) > SPECS
    for group in ([script] for script in scripts) if tool[0] == "bash" else (scripts,):
        done = subprocess.run([*tool, *group], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), group


def test_hcl_is_as_fmt_has_it(rendered: Path, tmp_path: Path) -> None:
    """By Packer's formatter, which is Terraform's, too: it also parses."""
    files = [*rendered.rglob("*.pkr.hcl"), *rendered.rglob("*.tf")]
    assert len(files) > 4 * SPECS
    for number, file in enumerate(files):
        (tmp_path / f"{number}.pkr.hcl").write_bytes(file.read_bytes())
    done = run_packer("fmt", "-check", "-diff", ".", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_packer_takes_what_a_spec_takes(rendered: Path) -> None:
    """The real plugin validates each value: of the AWS builder, which has nearly all of them."""
    folders = sorted(rendered.glob("*/out/*/packer/aws"))
    assert len(folders) > SPECS
    for folder in folders[::2]:
        done = run_packer("validate", ".", cwd=folder)
        assert done.returncode == 0, (folder, done.stdout + done.stderr)


def test_nodeadm_reads_what_a_spec_says() -> None:
    """Random settings of `join.eks`: valid, and each of them as it was written."""
    documents, wanted = [], []
    for seed in range(200):
        rng = Random(seed)
        join: dict[str, Any] = {"eks": random_struct(Eks, rng, rng.choice((0.0, 0.05, 0.3)), 0.7)}
        spec = check_bytes(as_yaml(valid(mapping({"join": join}), fallback={"join": {"eks": EKS}}))).require()
        documents.append(user_data(plan_image(spec, "al2023")))
        assert spec.join.eks
        wanted.append(node_config(spec.join.eks)["spec"])
    for verdict, spec_there in zip(nodeadm(documents), wanted, strict=True):
        assert verdict.error == ""
        assert [*_differs(spec_there, verdict.config["spec"])] == []
    assert sum("kubelet" in each for each in wanted) > 50


def _differs(wanted: Any, found: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from _differs(value, found.get(key))
    elif wanted != found:
        yield wanted, found

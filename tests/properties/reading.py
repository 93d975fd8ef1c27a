"""Reads what was rendered with readers of each language: it must be what the plan holds, no more and no less."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
import shlex
from functools import cache
from typing import Any

import yaml

from amigen.base.errors import InputError, SizeError
from amigen.checks.file import FileCheck
from amigen.checks.hook import HookCheck
from amigen.checks.package import PackageCheck
from amigen.checks.sysctl import SysctlCheck
from amigen.plan.describe import plan_document
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.render.artifacts import Artifact, artifacts
from amigen.render.packer import image_tags
from amigen.scripts.bootstrap import bootstrap_script, calls_of
from amigen.scripts.join import node_config
from amigen.spec.load import load_spec
from amigen.spec.model import NodeImage
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.make import user_data
from tests.base.test_quoting import hcl_reads
from tests.specs import GOLDEN


def read_back(spec: NodeImage) -> None:
    """Render a spec, and read all of it back."""
    made = artifacts(spec)
    files = {artifact.path: artifact.content for artifact in made}
    assert len(files) == len(made)
    for path in files:
        assert not {"", ".", ".."} & set(path.split("/")), path
    for plan in plan_images(spec):
        _read_json(plan, files)
        _read_script(plan, files[f"{plan.platform}/scripts/bootstrap.sh"].decode())
        for name in ("test_node.py", "test_image.py"):
            _read_python(plan, files[f"{plan.platform}/tests/{name}"].decode())
        _read_hcl(plan, files[f"{plan.platform}/packer/aws/image.pkr.hcl"].decode())
        read_user_data(plan)


def same(one: tuple[Artifact, ...], other: tuple[Artifact, ...]) -> bool:
    return [(a.path, a.content) for a in one] == [(a.path, a.content) for a in other]


def _read_json(plan: ImagePlan, files: dict[str, bytes]) -> None:
    document = plan_document(plan)
    assert json.loads(files[f"{plan.platform}/plan.json"]) == json.loads(json.dumps(document))


def _read_script(plan: ImagePlan, script: str) -> None:
    """The calls of the main function, as Python's own reader of shell words splits them."""
    _, _, main = script.rpartition("\nmain() {\n")
    fact = PLATFORMS[plan.platform]
    steps = [step for step in plan.steps if step.stage == "both"]
    calls = calls_of(list(steps), plan, plain=False)
    wanted = ["become_root", "begin", f"{fact.os_id} {fact.os_version}"]
    wanted += [word for call in calls for word in (call.function, *call.arguments)]
    found = shlex.split(main, posix=True)

    assert [*wanted, "log", "ready: $changes changes", "}", "main"] == found


def _read_python(plan: ImagePlan, text: str) -> None:
    """The tables are literals that hold what the plan's checks hold; the functions are the same in every suite."""
    tree = ast.parse(text)
    tables: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert ast.dump(node) in _functions(), f"a function that no golden suite has: {node.name}"
        elif isinstance(node, ast.Assign):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            tables[target.id] = ast.literal_eval(node.value)
        else:
            assert isinstance(node, (ast.Import, ast.ImportFrom)), ast.dump(node)
    if "BOOTSTRAP" not in tables:
        return
    of = {kind: [check for check in plan.checks if isinstance(check, kind)] for kind in {type(c) for c in plan.checks}}
    files: list[Any] = of.get(FileCheck, [])
    assert tables.get("FILES", {}) == {c.path: (c.mode, c.owner, c.group, c.sha256) for c in files}
    packages: list[Any] = of.get(PackageCheck, [])
    assert tables.get("PACKAGES", {}) == {c.name: c.version for c in packages}
    sysctls: list[Any] = of.get(SysctlCheck, [])
    assert {key: value for key, (_, value) in tables.get("SYSCTLS", {}).items()} == {c.key: c.value for c in sysctls}
    hooks: list[Any] = of.get(HookCheck, [])
    assert tables.get("HOOKS", {}) == {c.name: c.sha256 for c in hooks}


@cache
def _functions() -> frozenset[str]:
    """The functions of all golden suites."""
    found = set()
    for path in sorted(GOLDEN.glob("*/spec.yaml")):
        for artifact in artifacts(load_spec(path)):
            if artifact.path.endswith(".py"):
                found |= {ast.dump(n) for n in ast.parse(artifact.content).body if isinstance(n, ast.FunctionDef)}
    return frozenset(found)


def _read_hcl(plan: ImagePlan, text: str) -> None:
    """The tags, by HCL's rules; a line of them is one entry."""
    block = re.search(r"(?m)^  tags = \{\n((?:.*\n)*?)  \}\n", text)
    assert block
    found = {}
    for line in block[1].splitlines():
        match = re.fullmatch(r'    ("(?:[^"\\]|\\.)*") *= ("(?:[^"\\]|\\.)*")', line)
        if match:
            found[hcl_reads(match[1])] = hcl_reads(match[2])
        else:
            assert re.fullmatch(r'    "amigen/build" *= local.build', line), line
    assert found == image_tags(plan)


def read_user_data(plan: ImagePlan) -> None:
    """Each format of the user data that the plan can have."""
    script = bootstrap_script(plan, user_data=True).encode()
    for format_ in ("shell", "cloud-config", "mime"):
        try:
            document = user_data(plan, format_=format_)
        except (SizeError, InputError):
            continue
        found = parse(document)
        assert [p.message for p in found.problems if p.severity == "error"] == []
        if format_ == "cloud-config":
            (file,) = yaml.load(found.parts[0].content, Loader=yaml.CSafeLoader)["write_files"]
            content = file["content"].encode()
            assert script == (gzip.decompress(base64.b64decode(content)) if "encoding" in file else content)
            continue
        assert found.parts[0].content == script
        configs = [yaml.load(p.content, Loader=yaml.CSafeLoader) for p in found.parts if p.type == mime.NODE_CONFIG]
        eks = plan.spec.join.eks
        assert configs == ([node_config(eks)] if eks and format_ == "mime" and plan.platform == "al2023" else [])

"""NodeConfig drop-ins that the spec's files write, in the eyes of `check`, `explain` and nodeadm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from amigen.userdata.drop_ins import DROP_INS, of_files
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from tests.command import run
from tests.specs import joins, mapping
from tests.specs import spec as make_spec
from tests.userdata.judges import nodeadm
from tests.userdata.test_documents import plan

HEAD = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n"
CLUSTER = (
    "  cluster: {name: x, apiServerEndpoint: https://x, certificateAuthority: AAAA, cidr: 10.0.0.0/16}\n"
    "  kubelet: {config: {maxPods: 17}}\n"
)


def files(**texts: str) -> dict[str, object]:
    return {"files": [{"path": f"{DROP_INS}/{name}.yaml", "content": HEAD + text} for name, text in texts.items()]}


CASES = {
    "one": (joins(), files(a="  kubelet: {config: {maxPods: 17}}\n")),
    "by name": (joins(), files(b="  kubelet: {config: {maxPods: 1}}\n", a="  kubelet: {config: {maxPods: 2}}\n")),
    "wins the cluster": (joins(), files(a=CLUSTER)),
    "adds flags": (joins(maxPods=5), files(a="  kubelet: {flags: [--v=4]}\n")),
    "wrong type": (joins(), files(a="  kubelet: {flags: --v=4}\n")),
    "not a NodeConfig": (joins(), files(a="  - x\n")),
    "unknown key": (joins(), files(a="  kubelets: {}\n")),
    "an Outpost without its id": (joins(), files(a="  cluster: {enableOutpost: true}\n")),
}


@pytest.mark.parametrize("case", CASES)
def test_nodeadm_merges_them_as_explain_says(case: str) -> None:
    made = make_spec(*CASES[case])
    document = user_data(plan(*CASES[case]))
    written = {file.path.rsplit("/", 1)[1]: file.content or "" for file in made.files}
    (verdict,) = nodeadm([document], written)
    found = explain(document, "self-managed", files=of_files(made.files))
    errors = [p.message for p in found.problems if p.severity == "error" and p.reader == "nodeadm"]

    assert bool(verdict.error) == bool(errors)
    if not errors:
        fields = {field.path: field.value for field in found.fields}
        kubelet = verdict.config["spec"]["kubelet"].get("config", {})
        assert fields.get("spec.kubelet.config.maxPods", "") == str(kubelet.get("maxPods", ""))
        assert fields["spec.cluster.name"] == verdict.config["spec"]["cluster"]["name"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ((joins(), files(a=CLUSTER)), 0, None),
        ((files(a=CLUSTER),), 0, "warning: files[0]: names the cluster in /etc/eks/nodeadm.d"),
        (
            (joins(), files(a="  kubelet: {flags: --v=4}\n")),
            3,
            "spec.kubelet.flags (line 4 of the file) must be a list",
        ),
        ((joins(), files(a="  kubelet: {flags: [--max-pod=5]}\n")), 3, "has no flag '--max-pod'"),
        ((joins(), files(a="  kubelets: {}\n")), 0, "warning: files[0]: nodeadm ignores spec.kubelets"),
        (({"platforms": ["ubuntu-24.04"]}, files(a="  kubelets: {}\n")), 0, None),
    ],
)
def test_check_says_what_is_wrong(
    changes: tuple[dict[str, object], ...], code: int, words: str | None, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping(*changes)))
    done = run("check", "spec.yaml", cwd=tmp_path, code=code)
    said = (done.stdout + done.stderr).decode()

    assert ("files[0]" in said) == bool(words)
    assert (words or "") in said


def test_explain_a_spec_with_drop_ins(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump(mapping(joins(), files(a="  kubelet: {config: {maxPods: 7}}\n")))
    )
    words = ("user-data", "explain", "spec.yaml", "--for", "self-managed", "--output", "json")
    done = run(*words, cwd=tmp_path, code=0)
    (field,) = [field for field in json.loads(done.stdout)["fields"] if field["path"] == "spec.kubelet.config.maxPods"]

    assert (field["value"], field["winner"]) == ("7", f"{DROP_INS}/a.yaml")

"""eksctl itself, and nodeadm and cloud-init behind it, against what `explain --for eksctl` predicts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from amigen.plan.make import plan_images
from amigen.spec.load import load_spec
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from tests.userdata.conftest import Left
from tests.userdata.judges import eksctl, nodeadm
from tests.userdata.test_explain import CASES, NODE, SCRIPT
from tests.userdata.test_field_cases import FOLDER
from tests.userdata.test_karpenter_judges import SPECS, flat
from tests.userdata.test_nodeadm_judges import mutated

pytestmark = pytest.mark.slow  # eksctl is built by `make proofs`

AL2023 = {"amiFamily": "AmazonLinux2023"}
UBUNTU = {"amiFamily": "Ubuntu2404"}
CUSTOM = {"managed": True, "ami": "ami-0123456789abcdef0"}


def config(document: bytes, group: dict[str, Any] = CUSTOM) -> dict[str, Any]:
    return {**AL2023, **group, "overrideBootstrapCommand": document.decode()}


def test_eksctl_and_nodeadm_refuse_what_explain_says() -> None:
    """NodeConfigs as overrideBootstrapCommand; a bare number or word such as `yes` becomes text there."""
    chance = random.Random(5)
    found = [*(document for document, _ in CASES.values()), *(file.read_bytes() for file in FOLDER.iterdir())]
    found += [mutated(chance) for _ in range(3000)]
    found = [document for document in found if parse(document).type == mime.NODE_CONFIG and document.isascii()]
    made = eksctl(config(document) for document in found)
    wrong = []
    for document, out, verdict in zip(found, made, nodeadm(out.document or b"x" for out in made), strict=True):
        errors = [p for p in explain(document, "eksctl").problems if p.severity == "error"]
        errors = [p for p in errors if p.reader == "nodeadm"]
        if bool(out.error or verdict.error) != bool(errors):
            wrong.append((document, out.error or verdict.error, errors))

    assert len(found) > 400
    assert wrong == []


@pytest.mark.parametrize("group", [CUSTOM, {}, {"maxPodsPerNode": 7, "kubeletExtraConfig": {"podPidsLimit": 9}}])
def test_the_winners_are_those_of_nodeadm(group: dict[str, Any]) -> None:
    """The NodeConfig of the user wins all that eksctl sets."""
    alone, both = eksctl([{**AL2023, **group}, config(NODE, group)])
    own, got = (flat(verdict.config["spec"]) for verdict in nodeadm(out.document for out in (alone, both)))
    fields = {field.path: field for field in explain(NODE, "eksctl").fields}

    assert set(own) - set(fields) <= {"spec.kubelet.config.maxPods", "spec.kubelet.config.podPidsLimit"}
    for path, field in fields.items():
        if field.winner == "eksctl":
            assert got[path] == own[path], path
        elif field.winner.startswith("all of them"):
            # Labels of eksctl's are in no stable order.
            assert [flag.split("=")[0] for flag in got[path]] == ["--node-labels", "--v"]
        else:
            assert got[path] == (int(field.value) if field.value.isdigit() else field.value), path


def test_eksctl_drops_what_explain_says() -> None:
    """Fields that its API, which is older than nodeadm's, does not have."""
    settings: dict[str, dict[str, Any]] = {
        "cluster": {"enableOutpost": True, "id": "x"},
        "kubelet": {"config": {"maxPods": 5}, "flags": ["--v=2"], "maxPodsExpression": "max_pods - 5"},
        "containerd": {"config": "a = 1", "baseRuntimeSpec": {"a": "b"}},
        "featureGates": {"FastImagePull": True},
        "instance": {
            "localStorage": {"strategy": "RAID0", "mountPath": "/x", "disabledMounts": ["PodLogs"]},
            "environment": {"default": {"A": "b"}},
            "network": {"nameservers": ["10.0.0.2"], "domains": ["a.b"]},
        },
    }
    node = yaml.safe_load(NODE)
    for key, value in settings.items():
        node["spec"][key] = {**node["spec"].get(key, {}), **value}
    document = yaml.safe_dump(node).encode()
    (out,) = eksctl([config(document)])
    kept = flat(yaml.safe_load(parse(out.document).parts[-1].content)["spec"])
    lost = {path for path in flat(node["spec"]) if path not in kept}
    said = [p.message.split()[4] for p in explain(document, "eksctl").problems if p.reader == "eksctl"]

    assert said
    assert {path for path in lost if not path.startswith(tuple(said))} == set()
    assert all(any(path.startswith(each) for path in lost) for each in said)


def scripts() -> list[bytes]:
    made = [user_data(plan, format_="shell") for path in SPECS for plan in shells(path)]
    return [SCRIPT, b"#!/bin/sh\n# nothing yet\n", *made]


def shells(path: Any) -> list[Any]:
    spec = load_spec(path)
    return [plan for plan in plan_images(spec) if not (spec.join.eks and plan.platform == "al2023")]


def test_scripts_of_al2023_are_those_of_cloud_init(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """preBootstrapCommands: one part, without a name, with bash in its first line."""
    for document, out in zip(
        scripts(), eksctl({**AL2023, "preBootstrapCommands": [d.decode()]} for d in scripts()), strict=True
    ):
        left = cloud_init_leaves(out.document)
        (part,) = [part for part in explain(document, "eksctl").parts if part.type == mime.SHELL]

        assert (left.error, left.scripts) == ("", ((part.filename, b"#!/bin/bash\n" + document),))


def test_scripts_of_ubuntu_run_before_what_joins(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """By runcmd; with a custom AMI eksctl wants the command that joins, and runs it after them."""
    join = "/etc/eks/bootstrap.sh web"
    for document in scripts():
        commands = {**UBUNTU, "preBootstrapCommands": [document.decode()]}
        plain, refused, custom = eksctl(
            [commands, {**commands, **CUSTOM}, {**commands, **CUSTOM, "overrideBootstrapCommand": join}]
        )
        runs = [cloud_init_leaves(out.document).config["runcmd"] for out in (plain, custom)]

        assert "overrideBootstrapCommand is required" in refused.error
        assert [run[0] for run in runs] == [["/bin/bash", "-c", document.decode()]] * 2
        assert "bootstrap.ubuntu.sh" in runs[0][1][0]
        assert runs[1][1] == ["/bin/bash", "-c", join]

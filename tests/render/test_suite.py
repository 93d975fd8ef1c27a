"""The rendered suite's words, where what they judge is rare: run on made-up facts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from amigen import parse_spec, plan_image
from amigen.checks.cloud_init import MARK, SCRIPTS, CloudInitOnceCheck
from amigen.facts import Answer, Facts, File
from amigen.facts.surroundings import Surroundings
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan
from amigen.render.suite import suite_files
from amigen.scripts.bootstrap import bootstrap_script
from amigen.userdata.mime import SHELL, Part
from amigen.userdata.own import SCRIPT_NAME
from amigen.userdata.packed import pack

CONFIG = "nodeadm-config.service loaded failed failed EKS Nodeadm Config"
OTHER = "chronyd.service loaded failed failed NTP client/server"


def plan(platform: Any) -> ImagePlan:
    spec = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "x", "kubernetesVersion": "1.34"}
    return plan_image(parse_spec({**spec, "platforms": [platform]}), platform)


def check(made: ImagePlan, said: str) -> None:
    suite: dict[str, Any] = {}
    exec(suite_files(made)["tests/test_node.py"], suite)
    suite["test_no_failed_unit"](Facts(failed=tuple(said.splitlines())), "systemd")


def test_a_builder_may_lack_what_joins_a_cluster() -> None:
    """nodeadm-config fails on every machine of the EKS image without a NodeConfig; on a node that is a failure."""
    check(without_cluster(plan("al2023")), CONFIG)
    with pytest.raises(AssertionError, match="nodeadm-config"):
        check(plan("al2023"), CONFIG)


@pytest.mark.parametrize("platform", ["al2023", "ubuntu-24.04"])
def test_another_failed_unit_is_found_on_a_builder(platform: str) -> None:
    """Beside the one that may fail, and by its own name alone."""
    with pytest.raises(AssertionError, match="chronyd") as caught:
        check(without_cluster(plan(platform)), f"{CONFIG}\n{OTHER}" if platform == "al2023" else OTHER)
    assert "nodeadm-config" not in str(caught.value)


@pytest.mark.parametrize("platform", ["al2023", "ubuntu-24.04"])
def test_no_failed_unit_is_well(platform: str) -> None:
    """systemctl says nothing then."""
    check(plan(platform), "")
    check(without_cluster(plan(platform)), "")


CONTAINER = Surroundings(container="podman", systemd=True)
GATE = "amigen-ready.service"


def suite_of(made: ImagePlan) -> dict[str, Any]:
    suite: dict[str, Any] = {}
    exec(suite_files(made)["tests/test_node.py"], suite)
    return suite


def scripts_found(made: ImagePlan, scripts: dict[str, bytes], folder: Path) -> Facts:
    """What the check's own command says of an instance with these scripts and cloud-init's mark."""
    (check,) = [check for check in made.checks if isinstance(check, CloudInitOnceCheck)]
    for name, content in scripts.items():
        (folder / name).write_bytes(content)
    command = check.row.replace(SCRIPTS, str(folder))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    mark = File(mode="0644", uid="0", user="root", gid="0", group="root", size=1, kind="regular file")
    return Facts(files={MARK: mark}, commands={check.row: Answer(code=0, stdout=done.stdout)})


@pytest.mark.parametrize("packed", [False, True])
def test_the_user_data_of_this_spec_must_have_run_on_this_instance(packed: bool, tmp_path: Path) -> None:
    """cloud-init leaves its mark on an instance without any user data, too, and after that of another spec."""
    made = plan("al2023")
    other = structs.replace(made, digest="0" * 64)
    judge = suite_of(made)["test_cloud_init_once"]

    def script(of: ImagePlan) -> bytes:
        part = Part(type=SHELL, content=bootstrap_script(of, user_data=True).encode(), filename=SCRIPT_NAME)
        return pack(part).content if packed else part.content

    with pytest.raises(pytest.skip.Exception, match="not provable here: this instance was given no user-data"):
        judge(scripts_found(made, {}, tmp_path), "user-data")
    with pytest.raises(pytest.skip.Exception, match="not provable here: this instance was given scripts of other"):
        judge(scripts_found(made, {"a": b"#!/bin/sh\n", "b": script(other)}, tmp_path), "user-data")
    facts = scripts_found(made, {"c": script(made)}, tmp_path)
    judge(facts, "user-data")
    with pytest.raises(AssertionError, match="no mark"):
        judge(Facts(commands=facts.commands), "user-data")


def test_a_gate_that_lacks_a_kernel_proves_nothing_in_a_container() -> None:
    suite = suite_of(plan("al2023"))
    row = f"{GATE} loaded failed failed Gate"
    suite["test_no_failed_unit"](Facts(failed=(row,), surroundings=CONTAINER), "systemd")
    with pytest.raises(AssertionError, match="chronyd"):
        suite["test_no_failed_unit"](Facts(failed=(row, OTHER), surroundings=CONTAINER), "systemd")
    with pytest.raises(AssertionError, match="amigen-ready"):
        suite["test_no_failed_unit"](Facts(failed=(row,)), "systemd")
    with pytest.raises(AssertionError, match="does not answer"):
        suite["test_no_failed_unit"](Facts(), "systemd")


@pytest.mark.parametrize("said", ["/etc/modprobe.d/a.conf:3:blacklist ip_vs", "/proc/cmdline:1:x"])
def test_a_module_that_is_persisted_and_blacklisted_is_not_persisted(said: str) -> None:
    suite = suite_of(plan("al2023"))
    persisted = {"ip_vs": "/etc/modules-load.d/ipvs.conf"}
    suite["test_module_persisted"](Facts(persisted=persisted), "ip_vs")
    with pytest.raises(AssertionError, match="found:    " + said):
        suite["test_module_persisted"](Facts(persisted=persisted, obstacles={"ip_vs": said}), "ip_vs")

"""From a spec to plans: what is decided, in which order, and that every step is proved."""

from __future__ import annotations

import re
from typing import Any

import pytest

from amigen import knowledge
from amigen.checks import KINDS
from amigen.checks.file import FileCheck
from amigen.checks.hygiene import LEFTOVERS, HygieneCheck
from amigen.checks.ipvs import SchedulerCheck
from amigen.checks.model import Check, InstallGate, InstallPackages, LoadModules, WriteFile
from amigen.checks.module import EveryKernelCheck, LoadedCheck, PersistedCheck
from amigen.checks.package import PackageCheck
from amigen.checks.sysctl import SysctlCheck
from amigen.plan.describe import plan_document, plan_lines
from amigen.plan.make import plan_image, plan_images
from amigen.plan.model import ImagePlan
from amigen.spec.load import load_spec
from tests.specs import EXAMPLES, GOLDEN, joins, spec

SPECS = [*EXAMPLES, GOLDEN / "kitchen-sink" / "spec.yaml"]
PLANS = [
    pytest.param(plan, id=f"{path.parent.name}-{path.stem}-{plan.platform}")
    for path in SPECS
    for plan in plan_images(load_spec(path))
]
UBUNTU = {"platforms": ["ubuntu-24.04"]}


def plan(*changes: dict[str, Any]) -> ImagePlan:
    (one,) = plan_images(spec(*changes))
    return one


def kinds(plan: ImagePlan) -> list[str]:
    return [step.kind for step in plan.steps]


def modules(plan: ImagePlan) -> tuple[str, ...]:
    (step,) = [step for step in plan.steps if isinstance(step, LoadModules)]
    return step.modules


@pytest.mark.parametrize("plan", PLANS)
def test_every_step_has_a_check(plan: ImagePlan) -> None:
    """A step that nothing proves would be a promise."""
    assert [step.title for step in plan.steps if not step.checks] == []


@pytest.mark.parametrize("plan", PLANS)
def test_ids_of_checks_are_unique(plan: ImagePlan) -> None:
    """Two different checks never share an id: one would hide the other."""
    found: dict[str, Check] = {}
    for step in plan.steps:
        for check in step.checks:
            assert found.setdefault(check.id, check) == check
    assert len(plan.checks) == len({check.id for check in plan.checks})


@pytest.mark.parametrize("plan", PLANS)
def test_each_file_that_is_written_is_checked_as_it_is_written(plan: ImagePlan) -> None:
    """Content, owner and mode of the check are those of the step."""
    import hashlib

    steps: list[WriteFile] = [step for step in plan.steps if isinstance(step, WriteFile)]
    steps += [file for step in plan.steps if isinstance(step, InstallGate) for file in step.all_files]
    for step in steps:
        wanted = FileCheck(
            path=step.path,
            sha256=hashlib.sha256(step.content).hexdigest(),
            owner=step.owner,
            group=step.group,
            mode=step.mode,
        )
        assert wanted in plan.checks


def test_all_kinds_of_checks_are_used_by_some_plan() -> None:
    """A kind of check that no plan ever makes is dead, or its step lost it."""
    used = {type(check) for case in PLANS for check in case.values[0].checks}  # type: ignore[union-attr]

    assert set(KINDS) == used


def test_two_spellings_are_one_plan() -> None:
    """Defaults written out change nothing."""
    spelled = {
        "kubeProxy": {"mode": "ipvs", "ipvs": {"scheduler": "rr", "strictARP": False}},
        "hooks": {},
        "packages": [],
    }

    assert plan(spelled) == plan()


def test_one_plan_per_platform_in_the_order_of_the_spec() -> None:
    """The order is the user's."""
    both = spec({"platforms": ["debian-12", "al2023"]})

    assert [p.platform for p in plan_images(both)] == ["debian-12", "al2023"]
    assert plan_images(both)[1] == plan_image(both, "al2023")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, knowledge.IPVS_MODULES),
        ({"modules": {"persist": "minimal"}}, ("ip_vs", "ip_vs_rr", "nf_conntrack")),
        (
            {"modules": {"persist": "minimal"}, "kubeProxy": {"ipvs": {"scheduler": "sed"}}},
            ("ip_vs", "ip_vs_sed", "nf_conntrack"),
        ),
        ({"modules": {"extra": ["br-netfilter", "ip-vs"]}}, (*knowledge.IPVS_MODULES, "br-netfilter")),
        ({"kubeProxy": {"mode": "nftables"}}, ("nf_tables", "nf_conntrack")),
        ({"kubeProxy": {"mode": "nftables"}, "modules": {"persist": "minimal"}}, ("nf_tables", "nf_conntrack")),
        ({"kubeProxy": {"mode": "iptables"}}, ("nf_conntrack",)),
    ],
)
def test_modules_of_the_mode(change: dict[str, Any], wanted: tuple[str, ...]) -> None:
    """All twelve by default, what the scheduler needs for `minimal`, and extra ones once, however they are spelled."""
    made = plan(change)

    assert wanted == modules(made)
    for kind in (PersistedCheck, EveryKernelCheck, LoadedCheck):
        assert wanted == tuple(check.module for check in made.checks if isinstance(check, kind))


def test_one_of_a_thing_is_not_many() -> None:
    """Titles are read by people."""
    one = plan({"kubeProxy": {"mode": "iptables"}, "sysctls": {"net.core.somaxconn": 1}})
    titles = " ".join(step.title for step in one.steps)

    assert "persist 1 module in" in titles
    assert "load 1 module now" in titles
    assert "persist 1 kernel parameter in" in titles


def test_modules_of_ipvs_stand_in_a_file_of_their_own() -> None:
    """ipvs.conf holds the kube-proxy mode's modules, and amigen.conf the user's."""
    files = {
        s.path: s.content.decode() for s in plan({"modules": {"extra": ["nf_nat"]}}).steps if isinstance(s, WriteFile)
    }

    assert list(knowledge.IPVS_MODULES) == files["/etc/modules-load.d/ipvs.conf"].splitlines()[1:]
    assert files["/etc/modules-load.d/amigen.conf"].splitlines()[1:] == ["nf_nat"]


@pytest.mark.parametrize("persist", ["all", "minimal"])
def test_a_scheduler_beyond_the_guide_brings_its_module(persist: str) -> None:
    """mh is not one of the twelve modules of the EKS guide."""
    made = plan({"modules": {"persist": persist}, "kubeProxy": {"mode": "ipvs", "ipvs": {"scheduler": "mh"}}})
    files = {step.path: step.content.decode() for step in made.steps if isinstance(step, WriteFile)}

    assert "ip_vs_mh" in files["/etc/modules-load.d/ipvs.conf"].splitlines()
    assert "mh" in {check.scheduler for check in made.checks if isinstance(check, SchedulerCheck)}


@pytest.mark.parametrize(("persist", "schedulers"), [("all", set(knowledge.GUIDE_SCHEDULERS)), ("minimal", {"rr"})])
def test_schedulers_that_are_proved(persist: str, schedulers: set[str]) -> None:
    """Each scheduler whose module is persisted is tried."""
    made = plan({"modules": {"persist": persist}})

    assert schedulers == {check.scheduler for check in made.checks if isinstance(check, SchedulerCheck)}


@pytest.mark.parametrize(
    ("change", "gated"),
    [
        ({}, True),
        (UBUNTU, True),
        ({"platforms": ["debian-12"]}, False),
        ({"aws": {"baseImage": "plain"}}, False),
        ({**joins(), "aws": {"baseImage": "plain"}}, True),
        ({"aws": {"baseImage": "plain"}, "gate": True}, True),
        ({"aws": {"sourceAmis": {"al2023": {"id": "ami-01234567"}}}}, True),
        ({"gate": False}, False),
        ({**joins(), "gate": False}, False),
    ],
)
def test_gate(change: dict[str, Any], gated: bool) -> None:
    """On where a node joins and on EKS images, whoever joins it there, and as the spec says where it says so."""
    assert gated == ("gate" in kinds(plan(change)))


@pytest.mark.parametrize(
    ("change", "units"),
    [
        ({}, {"nodeadm-run.service", "kubelet.service"}),
        (UBUNTU, {"snap.kubelet-eks.daemon.service", "kubelet.service"}),
        ({"platforms": ["debian-12"]}, {"kubelet.service"}),
    ],
)
def test_gate_holds_back_what_starts_kubelet(change: dict[str, Any], units: set[str]) -> None:
    """Each unit of the platform has a drop-in that asks the gate."""
    (gate,) = [step for step in plan({"gate": True}, change).steps if isinstance(step, InstallGate)]

    assert {f"/etc/systemd/system/{unit}.d/10-amigen-ready.conf" for unit in units} == {f.path for f in gate.drop_ins}
    assert all(b"ExecCondition=+/bin/sh -c" in file.content for file in gate.drop_ins)


def test_order_of_the_steps() -> None:
    """Gate first, hooks around, root's files before packages, a user's files after, hygiene last."""
    everything = {
        **joins(),
        "hooks": {"before": [{"name": "b", "script": "x"}], "after": [{"name": "a", "script": "x"}]},
        "files": [{"path": "/etc/1", "content": "", "owner": "daemon"}, {"path": "/etc/2", "content": ""}],
        "packageSources": {"mirrors": {"al2023": {"url": "http://m"}}},
        "sysctls": {"net.core.somaxconn": 1},
        "kubeProxy": {"ipvs": {"connTabBits": 16}},
        "modules": {"extra": ["nf_nat"]},
    }
    titles = [step.title.split(":")[0] for step in plan(everything).steps]
    order = [
        "start nodeadm-run.service and kubelet.service only on a node that is ready",
        "run the hook b (once)",
        "name the package mirror",
        "write /etc/2",
        "install ipvsadm",
        "write /etc/1",
        "persist 12 modules in /etc/modules-load.d/ipvs.conf",
        "persist 1 module in /etc/modules-load.d/amigen.conf",
        "set the connection table to 65536 buckets",
        "load 13 modules now, after looking for them in every installed kernel",
        "persist 1 kernel parameter in /etc/sysctl.d/90-amigen.conf",
        "set them now",
        "run the hook a (once)",
        "write /etc/amigen/release.json",
        "join the EKS cluster web by nodeadm",
        "remove what belongs to the builder, so that two nodes are not twins",
    ]

    assert order == titles


def test_stages() -> None:
    """Only the join is for user data alone, only hygiene for the image alone; all else is done in both."""
    stages = {step.kind: step.stage for step in plan(joins(), {"sysctls": {"kernel.x": 1}}).steps}

    assert {k: v for k, v in stages.items() if v != "both"} == {"join": "user-data", "clean": "image"}


def requests(made: ImagePlan) -> dict[str, str | None]:
    return {p.name: p.version for s in made.steps if isinstance(s, InstallPackages) for p in s.packages}


@pytest.mark.parametrize(
    ("platform", "wanted"), [("al2023", {"ipvsadm": "1.31-1"}), ("debian-12", {"ipvsadm": None, "ipset": None})]
)
def test_a_version_is_pinned_where_the_spec_says(platform: Any, wanted: dict[str, str | None]) -> None:
    """A package of amigen's own takes the spec's version, on the platforms that it is for."""
    packages = [
        {"name": "ipvsadm", "version": "1.31-1", "platforms": ["al2023"]},
        {"name": "ipset", "platforms": ["debian-12"]},
    ]
    made = plan_image(spec({"platforms": ["al2023", "debian-12"], "packages": packages}), platform)

    assert wanted == requests(made)
    assert wanted == {c.name: c.version for c in made.checks if isinstance(c, PackageCheck)}


@pytest.mark.parametrize(("mode", "wanted"), [("ipvs", {"ipvsadm"}), ("nftables", {"nftables"}), ("iptables", set())])
def test_packages_of_the_mode(mode: str, wanted: set[str]) -> None:
    """The tool of diagnosis of each mode."""
    assert wanted == set(requests(plan({"kubeProxy": {"mode": mode}})))


@pytest.mark.parametrize(
    ("key", "value", "line", "name"),
    [
        ("net.core.somaxconn", 5, "net/core/somaxconn = 5", "net.core.somaxconn"),
        ("net.ipv4.tcp_rmem", " 1 \t2  3"[1:], "net/ipv4/tcp_rmem = 1 2 3", "net.ipv4.tcp_rmem"),
        ("net.ipv4.conf.eth0/1.rp_filter", 2, "net/ipv4/conf/eth0.1/rp_filter = 2", "net.ipv4.conf.eth0/1.rp_filter"),
        ("net/ipv4/conf/eth0.1/rp_filter", 2, "net/ipv4/conf/eth0.1/rp_filter = 2", "net.ipv4.conf.eth0/1.rp_filter"),
    ],
)
def test_kernel_parameters(key: str, value: int | str, line: str, name: str) -> None:
    """Written in the slash form, and checked by the dotted name, with white space as the kernel folds it."""
    made = plan({"sysctls": {key: value}})
    (file,) = [step for step in made.steps if isinstance(step, WriteFile) and step.path.endswith("90-amigen.conf")]
    (check,) = [check for check in made.checks if isinstance(check, SysctlCheck)]

    assert line == file.content.decode().splitlines()[1]
    assert (name, line.split(" = ")[1]) == (check.key, check.value)


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_in_words_names_each_check(plan: ImagePlan) -> None:
    """What proves a step stands below it, for a person and for a program."""
    text = "\n".join(plan_lines(plan))
    document = plan_document(plan)

    for check in plan.checks:
        assert check.subject in text
        assert check.test in text
    assert [c.id for s in plan.steps for c in s.checks] == [i for step in document["steps"] for i in step["checks"]]
    assert [step.title for step in plan.steps] == [step["title"] for step in document["steps"]]


def test_hygiene_has_a_check_for_each_subject() -> None:
    """What the last step removes is looked for, thing by thing."""
    assert tuple(LEFTOVERS) == tuple(c.what for c in plan().checks if isinstance(c, HygieneCheck))


def test_a_plan_cannot_be_changed() -> None:
    """What was shown is what is done."""
    with pytest.raises(AttributeError):
        plan().digest = "other"  # type: ignore[misc]


def test_the_gate_asks_whatever_path_the_unit_of_kubelet_has() -> None:
    """`ExecCondition=` runs with the unit's environment, and these two are not in /usr/bin."""
    (gate,) = [step for step in plan({"gate": True}).steps if isinstance(step, InstallGate)]
    script = gate.files[0].content.decode()
    assert re.findall(r"(\S*)(?:ipvsadm|modinfo) -", script) == ["$(/sbin/", "/sbin/"]

"""The tables of facts: each has a source, and each version has one answer."""

from __future__ import annotations

import datetime
import runpy
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from amigen import knowledge
from amigen.platforms import PLATFORMS
from amigen.spec.values import ProxyMode

MINORS = range(28, 47)


FACTS = knowledge.read_facts()


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_has_a_sentence_a_source_and_a_day(name: str) -> None:
    """A fact without a source cannot be checked when Kubernetes changes its plans."""
    fact = FACTS[name]

    assert fact.statement
    assert "https://" in fact.source
    assert datetime.date(2026, 1, 1) < fact.checked <= datetime.datetime.now(datetime.UTC).date()


def test_facts_that_were_checked_long_ago_are_listed() -> None:
    """By the script, the oldest first; a fact of 90 days is not old yet."""
    script = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "old-facts"))
    days = sorted(fact.checked for fact in FACTS.values())

    assert script["old_facts"](days[0] + datetime.timedelta(days=90), 90) == []
    found = script["old_facts"](days[0] + datetime.timedelta(days=91), 90)
    assert len(found) == days.count(days[0])
    every = script["old_facts"](days[-1] + datetime.timedelta(days=91), 90)
    assert len(every) == len(FACTS)
    assert every == sorted(every)


def test_a_file_that_is_no_fact_is_an_error(tmp_path: Path) -> None:
    """Such as one without the day."""
    (tmp_path / "x.yaml").write_text("kind: value\nstatement: s\nsource: https://x\nvalue: 1\n")

    with pytest.raises(msgspec.ValidationError, match="checked"):
        knowledge.read_facts(tmp_path)


def test_the_words_of_the_code_are_those_of_the_facts() -> None:
    """Types are in the code; the facts must know each of them."""
    assert get_args(knowledge.Scheduler) == knowledge.SCHEDULERS
    assert set(knowledge.MODE_MODULES) == set(knowledge.MODE_PACKAGES) == set(knowledge.PROXY_MODES)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_facts_with_a_source(platform: str) -> None:
    """Every platform that a spec may name is known, with a place to look it up."""
    assert PLATFORMS[platform].source


@pytest.mark.parametrize("mode", knowledge.PROXY_MODES)
def test_facts_of_a_mode_are_in_order(mode: ProxyMode) -> None:
    """The last fact that is not above a version holds, so the table is sorted and has no version twice."""
    since = [fact.since for fact in knowledge.MODE_FACTS if fact.mode == mode]

    assert since == sorted(set(since))


@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("ipvs", {28: "stable", 35: "deprecated", 40: "gated", 43: "removed"}),
        ("nftables", {28: "absent", 29: "alpha", 31: "beta", 33: "stable"}),
        ("iptables", {28: "stable"}),
    ],
)
def test_state_of_a_mode_in_each_version(mode: ProxyMode, states: dict[int, str]) -> None:
    """From 1.28 to 1.46, with the boundaries of KEP-5495 and KEP-3866."""
    expected, state = {}, ""
    for minor in MINORS:
        state = states.get(minor, state)
        expected[minor] = state

    assert expected == {minor: knowledge.mode_fact(mode, f"1.{minor}").state for minor in MINORS}


@pytest.mark.parametrize("minor", [40, 43])
def test_plans_are_called_plans(minor: int) -> None:
    """What Kubernetes has announced and not released is not said as if it had happened."""
    fact = knowledge.mode_fact("ipvs", f"1.{minor}")

    assert fact.planned
    assert "planned" in fact.statement


@pytest.mark.parametrize(
    ("text", "version"), [("1.33", (1, 33)), ("v1.33.4-eks-abc", (1, 33)), ("1.33+", (1, 33)), ("1.9", (1, 9))]
)
def test_versions_as_kubernetes_prints_them(text: str, version: tuple[int, int]) -> None:
    """Versions of servers have more than two numbers."""
    assert version == knowledge.version_tuple(text)


def test_the_twelve_modules() -> None:
    """ip_vs, its ten schedulers and nf_conntrack, in the order of the EKS best practices."""
    names = "ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_sh ip_vs_dh ip_vs_sed ip_vs_nq"

    assert (*names.split(), "nf_conntrack") == knowledge.IPVS_MODULES


@pytest.mark.parametrize(
    ("version", "kernel"), [("1.20", (6, 1)), ("1.32", (6, 1)), ("1.33", (6, 12)), ("1.35", (6, 12)), ("1.36", (6, 18))]
)
def test_kernel_of_the_eks_image_follows_the_version(version: str, kernel: tuple[int, int]) -> None:
    """The EKS optimized AL2023 image changes its kernel with Kubernetes; the plain one does not."""
    assert kernel == PLATFORMS["al2023"].oldest_kernel(version, eks_image=True)
    assert PLATFORMS["al2023"].oldest_kernel(version, eks_image=False) == (6, 1)

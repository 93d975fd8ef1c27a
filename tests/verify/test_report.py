"""A report as a table, JSON, JUnit and a page, from results that are made up; and its verdict."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import structs
from rich.console import Console

from amigen.base.errors import ChecksFailedError, CouldNotCheckError
from amigen.cli.outputs import schema_of
from amigen.connections.model import Target
from amigen.plan.make import plan_image
from amigen.verify.junit import junit
from amigen.verify.page import page
from amigen.verify.report import Cause, Outcome, Report, Result, document, verdict_of
from amigen.verify.run import make_report, not_reached
from amigen.verify.table import print_reports
from tests.specs import spec

HOSTILE = "</pre><script>alert(1)</script> [bold] & \x00\x1b[31m \u2028"


def result(outcome: Outcome, name: str = "ipvsadm", **more: Any) -> Result:
    words = {"expected": f"{name} is there", "found": "it is not", "todo": "install it"} if outcome == "failed" else {}
    fields: dict[str, Any] = {"id": f"test_package[{name}]", "phase": "node", "outcome": outcome, **words, **more}
    return Result(**fields)


def report(*results: Result, **more: Any) -> Report:
    fields: dict[str, Any] = {
        "spec": "web",
        "digest": "0" * 64,
        "platform": "al2023",
        "target": "ssh://node",
        "kind": "ssh",
        "amigen": "1",
        "started": "2026-11-23T12:00:00Z",
        "seconds": 1.5,
        "verdict": verdict_of(results),
        "results": results,
    }
    return Report(**{**fields, **more})


ALL = report(
    result("passed"),
    result("failed", "kmod"),
    result("error", "jq", found="no answer"),
    result("not provable", "ip_vs", found="a container borrows the kernel of its host"),
    result("skipped", "own", found="not today", own=True),
)


@pytest.mark.parametrize(
    ("results", "verdict", "error"),
    [
        ((result("passed"),), "proven", None),
        ((result("passed"), result("failed")), "failed", ChecksFailedError),
        ((result("passed"), result("error")), "unproven", CouldNotCheckError),
        ((result("passed"), result("not provable")), "unproven", CouldNotCheckError),
        ((result("passed"), result("not provable", required=False)), "proven", None),
        ((result("passed"), result("skipped")), "proven", None),
        ((result("skipped"),), "unproven", CouldNotCheckError),
        ((), "unproven", CouldNotCheckError),
        ((result("failed"), result("error")), "failed", ChecksFailedError),
    ],
)
def test_verdict(results: tuple[Result, ...], verdict: str, error: type[Exception] | None) -> None:
    """What is not provable is never passed, and nothing at all proves nothing."""
    made = report(*results)
    assert made.verdict == verdict
    found = made.error()
    assert (type(found) if found else None) is error


def test_json_is_of_its_schema() -> None:
    one = msgspec.to_builtins(document((ALL,)))
    jsonschema.validate({**one, "errors": []}, schema_of("verify"))
    assert [r["outcome"] for r in one["results"]] == ["passed", "failed", "error", "not provable", "skipped"]
    assert one["results"][1]["todo"] == "install it"
    two = msgspec.to_builtins(document((ALL, ALL)))
    jsonschema.validate({**two, "errors": []}, schema_of("verify"))
    assert len(two["reports"]) == 2


def test_a_target_that_was_not_reached() -> None:
    """What stands in the way and what to do is the whole message: no check is to blame."""
    error = report(not_reached(CouldNotCheckError("no answer", "is it up?"))).error()
    assert str(error) == "ssh://node: no answer\n  hint: is it up?"


def test_junit_has_a_suite_per_phase() -> None:
    later = structs.replace(result("passed"), phase="after a reboot")
    root = ET.fromstring(junit([structs.replace(ALL, results=(*ALL.results, later))]))
    first, second = root.findall("testsuite")
    assert {k: first.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    assert second.get("name") == "web al2023 on ssh://node: after a reboot"
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.text == "expected: kmod is there\nfound: it is not\nto do: install it"
    skipped = [element.get("message", "") for element in first.findall("testcase/skipped")]
    assert skipped[0].startswith("not provable here: a container")


def test_hostile_text_breaks_no_format() -> None:
    """What a target printed stays text in each of them."""
    bad = report(result("failed", HOSTILE, found=HOSTILE, todo=HOSTILE), target=HOSTILE, notes=(HOSTILE,))
    ET.fromstring(junit([bad]))
    assert json.loads(msgspec.json.encode(document((bad,))))["results"][0]["found"] == HOSTILE
    html = page([bad]).decode()
    assert "<script" not in html
    out = io.StringIO()
    print_reports([bad], Console(file=out, width=100, force_terminal=False))
    assert "[bold]" in out.getvalue()


class _Page(HTMLParser):
    """Checks that elements are closed in their order, and collects what would be loaded from elsewhere."""

    _EMPTY = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_self_contained() -> None:
    parser = _Page()
    parser.feed(page([ALL, ALL]).decode())
    assert parser.open == []
    assert all(link.startswith("#") for link in parser.loads)
    for text in ("kmod is there", "install it", "no answer", "a container borrows the kernel", "1 passed"):
        assert text in parser.text


def test_the_table_says_what_failed_first_and_what_to_do() -> None:
    out = io.StringIO()
    print_reports([ALL], Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("FAILED")
    assert "test_package[kmod]" in lines[0]
    assert [line.split()[0] for line in lines[1:4]] == ["expected", "found", "to"]
    assert "FAILED  1 passed, 1 failed, 1 could not be checked, 1 not provable here, 1 skipped" in lines[-1]


def test_targets_with_the_same_results_share_a_table() -> None:
    """However long each took; one that differs has its own, and each has its verdict."""
    passed = [result("passed", "a"), result("passed", "b")]
    slow = [structs.replace(each, seconds=2.0) for each in passed]
    other = [passed[0], result("failed", "b")]
    reports = [
        structs.replace(report(*results), target=f"ssh://node{number}")
        for number, results in enumerate((passed, other, slow, passed))
    ]
    out = io.StringIO()
    print_reports(reports, Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert [line[line.index("node") : line.index("node") + 5] for line in lines if "node" in line] == [
        *("node0", "node2", "node3", "node1"),
    ]
    assert [line.split()[0] for line in lines] == [
        *("passed", "PROVEN", "PROVEN", "PROVEN"),
        *("FAILED", "expected", "found", "to", "passed", "FAILED"),
    ]


def test_failures_that_say_the_same_are_one() -> None:
    twins = [structs.replace(result("failed", name), expected=f"{name} is there") for name in ("a", "b", "c")]
    out = io.StringIO()
    print_reports([report(*twins)], Console(file=out, width=120))
    assert out.getvalue().count("install it") == 1
    assert "(and so for 2 more)" in out.getvalue()
    assert page([report(*twins)]).decode().count("install it") == 1
    changed = [structs.replace(each, diff=f"+{each.id}") for each in twins]
    assert page([report(*changed)]).decode().count("install it") == 3


def test_each_result_names_the_step_of_the_plan() -> None:
    plan = plan_image(spec({"platforms": ["debian-12"]}), "debian-12")
    passed = [Result(id=check.id, phase="node", outcome="passed") for check in plan.checks]
    made = make_report(plan, Target(text="local", kind="local"), datetime.now(UTC), 0.0, passed)
    steps = {result.id: result.step for result in made.results}
    assert steps["test_package[ipvsadm]"] == "install ipvsadm"
    assert steps["test_no_failed_unit[systemd]"] == ""


def test_the_page_of_many_targets_begins_with_what_failed() -> None:
    """Each row leads to its target, each check to itself, and each id is there once."""
    bad = report(result("failed"), target="ssh://bad", causes=(Cause(text="no package", todo="install it"),))
    html = page([report(result("passed"), target="ssh://good"), bad]).decode()
    assert html.index("ssh://bad") < html.index("ssh://good")
    assert html.index('<section id="target-2">') < html.index('<section id="target-1">')
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 4
    assert set(re.findall(r'href="#([^"]+)"', html)) == set(ids)
    assert html.count("no package") == 2


_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_WIDTH = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>"
_FRAME = """<!doctype html><script>onmessage = event => document.body.dataset.found = event.data</script>
<body><iframe src="page.html" style="border: 0; height: 800px; width: {}px"></iframe></body>"""


@pytest.mark.slow
@pytest.mark.skipif(not _CHROMIUM, reason="needs a browser: Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(width: int, tmp_path: Path) -> None:
    """Measured by a real browser, as wide as on a desktop and on a phone; the longest words are broken."""
    assert _CHROMIUM
    long = "/" + "a" * 300
    failed = result("failed", long, expected=long, found=long, todo=long)
    others = [result(outcome, f"{long}{n}", found=long) for outcome in ("passed", "not provable") for n in range(3)]
    html = page([report(failed, *others, target=long, notes=(long,)), ALL]).decode()
    (tmp_path / "page.html").write_text(html.replace("<details", "<details open").replace("</body>", _WIDTH))
    (tmp_path / "frame.html").write_text(_FRAME.format(width))
    command = [_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path}/profile", "--window-size=1400,900", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--dump-dom", (tmp_path / "frame.html").as_uri()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = re.search(r'data-found="(\d+)"', done.stdout)
    assert found, done.stderr[-1000:]
    assert int(found[1]) <= width

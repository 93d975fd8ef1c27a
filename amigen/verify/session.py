"""One pytest session in this process, over hosts whose facts are on their way."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import testinfra.backend
from testinfra.backend.base import BaseBackend

from amigen.base.interrupt import Interrupted
from amigen.checks import BY_TEST
from amigen.facts import Facts
from amigen.testing.explain import read_explanation
from amigen.testing.plugin import give_facts, host_of
from amigen.verify.outcome import last_words, outcome_of
from amigen.verify.report import Outcome, Result

# Plugins of pytest that print or write what nobody reads here; unraisableexception would also keep dropped signals.
_NOT_NEEDED = ("terminal", "cacheprovider", "junitxml", "pastebin", "stepwise", "faulthandler", "unraisableexception")


@dataclass(frozen=True, kw_only=True)
class SessionInput:
    """What a session runs.

    Attributes:
        folder: The tests: a private folder with rendered ones, or one of the user's. No conftest.py above it is read:
            it may be in `/tmp`, where everybody can write one.
        files: Test files or folders in it.
        own: The tests are the user's.
        joined: The hosts must have joined their cluster.
        image: The host is to be checked as an image, also where it runs.
    """

    folder: Path
    files: tuple[Path, ...]
    phase: str
    own: bool = False
    joined: bool = False
    image: bool = False


@dataclass(eq=False)
class _Collector:
    """The plugin that listens; `settle` gives each host its facts, or drops it."""

    given: SessionInput
    backends: Mapping[str, BaseBackend]
    settle: Callable[[], Mapping[str, Facts]]
    results: dict[str, list[Result]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.keys = {id(backend): key for key, backend in self.backends.items()}

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest makes an exit code of it; `pytest.exit` of a test of the user's is no Ctrl-C.
        self.interrupted = issubclass(excinfo.type, KeyboardInterrupt)

    def _key(self, item: pytest.Item) -> str | None:
        """Which of the hosts a test is for; None for a test that uses no host."""
        host = host_of(item)
        return self.keys.get(id(host.backend)) if host else None

    def pytest_configure(self, config: pytest.Config) -> None:
        # Results are made of the exceptions themselves: pytest's own account of each failure takes 10 ms, for nobody.
        config.option.tbstyle = "value"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self.given.own and not self.broken and not items:
            self.broken.append(f"pytest finds no test in {self.given.folder}: name the files test_*.py")
        settled = self.settle()
        for key, facts in settled.items():
            give_facts(config, self.backends[key], facts)
        items[:] = [item for item in items if (each := self._key(item)) is None or each in settled]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(last_words(str(report.longrepr)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
        report: pytest.TestReport = yield  # type: ignore[misc,assignment]
        if report.when == "setup":
            self.seconds = report.duration
        elif report.when == "call":
            self.seconds += report.duration
        if report.when == "call" or (report.outcome != "passed"):
            self._keep(item, *outcome_of(call, report))
        return report  # type: ignore[return-value]

    def _keep(self, item: pytest.Item, outcome: Outcome, text: str) -> None:
        key = self._key(item)
        for each in [key] if key is not None else list(self.backends):
            self.results.setdefault(each, []).append(self._result(item, outcome, text))

    def _result(self, item: pytest.Item, outcome: Outcome, text: str) -> Result:
        expected, found, todo = read_explanation(text)
        return Result(
            id=_own_id(item, self.given.folder) if self.given.own else check_id(item),
            phase=self.given.phase,
            outcome=outcome,
            expected=expected,
            found=found,
            todo=todo,
            required=_is_required(item, outcome, joined=self.given.joined),
            seconds=round(self.seconds, 6),
            own=self.given.own,
        )


def _is_required(item: pytest.Item, outcome: Outcome, *, joined: bool) -> bool:
    """A machine need not join a cluster, nor prove what is optional."""
    kind = BY_TEST.get(getattr(item, "originalname", ""))
    if outcome == "not provable" and kind is not None and kind.optional:
        return False
    return joined or item.get_closest_marker("needs_cluster") is None


def check_id(item: pytest.Item) -> str:
    """The id of the check that a rendered test is: its function and its one parameter, whatever pytest makes of it."""
    callspec = getattr(item, "callspec", None)
    values = [v for k, v in callspec.params.items() if k != "_testinfra_host"] if callspec else []
    name = getattr(item, "originalname", item.name)
    return f"{name}[{values[0]}]" if len(values) == 1 else name


def _own_id(item: pytest.Item, own: Path) -> str:
    """A test of the user's: file and name, without the host that testinfra puts into the brackets."""
    host, name = host_of(item), item.name
    if host is not None:
        label = host.backend.get_pytest_id()
        name = name.replace(f"[{label}-", "[", 1).replace(f"[{label}]", "", 1)
    return f"{own.name}/{item.path.relative_to(own).as_posix()}::{name}"


_READY: dict[str, BaseBackend] = {}
# There is only one pytest in a process at a time; builds side by side verify in threads.
_ONE_AT_A_TIME = threading.Lock()


class ReadyBackend(BaseBackend):
    """`amigen-ready://KEY`: a backend that is there already, under a name that testinfra can be given."""

    NAME = "amigen-ready"

    def __new__(cls, name: str, *_args: Any, **_kwargs: Any) -> BaseBackend:
        return _READY[name]


def run_session(
    given: SessionInput, backends: Mapping[str, BaseBackend], settle: Callable[[], Mapping[str, Facts]]
) -> dict[str, list[Result]]:
    """Run the tests on all hosts.

    Args:
        given: The tests.
        backends: Key -> host; a key is letters, digits and `-`, and never used twice.
        settle: Called when the tests are collected; returns the facts of each host that answered. The others are not
            tested.

    Returns:
        Key -> results in the order of the tests; of a test file that cannot be read, an error for each host.
    """
    testinfra.backend.BACKENDS.setdefault("amigen-ready", f"{__name__}.ReadyBackend")
    collector = _Collector(given=given, backends=backends, settle=settle)
    _READY.update(backends)
    try:
        with _ONE_AT_A_TIME, _apart(given):
            code = pytest.main(_arguments(given, backends), plugins=[collector])
    finally:
        for key in backends:
            del _READY[key]
    if collector.interrupted:
        raise Interrupted(signal.SIGINT)
    broken = collector.broken or (
        [] if code in (0, 1, 5) else [f"the test runner crashed: pytest exit code {int(code)}"]
    )
    for text in broken:
        file = _broken_id(given, text)
        result = Result(id=file, phase=given.phase, outcome="error", found=text, own=file != "pytest")
        for key in backends:
            collector.results.setdefault(key, []).append(result)
    return collector.results


def _broken_id(given: SessionInput, text: str) -> str:
    folder = given.folder
    named = given.own and next((f for f in sorted(folder.rglob("*.py")) if f.name in text), None)
    return f"{folder.name}/{named.relative_to(folder).as_posix()}" if named else "pytest"


def _arguments(given: SessionInput, backends: Mapping[str, BaseBackend]) -> list[str]:
    arguments = ["-c", os.devnull, f"--rootdir={given.folder}", f"--confcutdir={given.folder}"]
    arguments += ["--import-mode=importlib", "--continue-on-collection-errors"]
    arguments += [word for name in _NOT_NEEDED for word in ("-p", f"no:{name}")]
    arguments += ["-p", "amigen.testing.plugin"]
    arguments += ["--hosts=" + ",".join(f"amigen-ready://{key}" for key in backends)]
    arguments += [*(["--amigen-joined"] if given.joined else []), *(["--amigen-image"] if given.image else [])]
    if given.own:
        # Their files may import each other, and their plain asserts should say what they saw.
        arguments += ["-o", f"pythonpath={given.folder}", "--capture=sys"]
    else:
        # Other threads of amigen say what they do meanwhile.
        arguments += ["--assert=plain", "--capture=no", "-p", "testinfra.plugin"]
    return [*arguments, *map(str, given.files)]


@contextmanager
def _apart(given: SessionInput) -> Iterator[None]:
    """Run pytest without what the caller's environment would add, and without traces in this process."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_CURRENT_TEST"):
            patch.delenv(name, raising=False)
        if not given.own:
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.setattr(sys, "dont_write_bytecode", True)
        try:
            yield
        finally:
            for name in set(sys.modules) - before:
                if (getattr(sys.modules[name], "__file__", None) or "").startswith(f"{given.folder}{os.sep}"):
                    del sys.modules[name]

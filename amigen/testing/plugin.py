"""The pytest plugin: loaded in every pytest run where amigen is installed, so that it imports next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from amigen.facts import Facts, Wanted
from amigen.facts.surroundings import Need, Surroundings
from amigen.testing.explain import NOT_PROVABLE
from amigen.testing.gather import find_surroundings, gather
from amigen.testing.modules import KernelModule, find_kernels

_NEEDS: dict[str, Need] = {"needs_kernel": "kernel", "needs_boot": "boot", "needs_cluster": "cluster"}
_MARKED = frozenset((*_NEEDS, "before_first_boot"))
# Suites of amigen have the names alone; in a suite of yours, the prefix keeps them from those of others.
_PREFIX = "amigen_"
# The id of a host -> the host, so that the id stays its own, and what it is.
_KNOWN = pytest.StashKey[dict[int, tuple[object, Surroundings]]]()
# The id of a backend -> the backend, so that the id stays its own, and its facts.
_FACTS = pytest.StashKey[dict[int, tuple[object, Facts]]]()
_MARKERS = (
    "needs_kernel: proves something only on a target with a kernel of its own; elsewhere skipped as not provable",
    "needs_boot: proves something only on a target that systemd has booted; elsewhere skipped as not provable",
    "needs_cluster(*units): proves something only on a node of a cluster, where one of the units is active",
    "before_first_boot: proves something only of an image that has not been booted as a node",
    "loads_modules: loads kernel modules by itself, and therefore runs after all other tests",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("amigen")
    group.addoption(
        "--amigen-image-root",
        metavar="FOLDER",
        default="/",
        help="Where the image lies that the fixture image_root names (default: /, the root of the host).",
    )
    group.addoption(
        "--amigen-image",
        action="store_true",
        help="The host runs, and is a cleaned builder: tests of an image before its first boot hold there.",
    )
    group.addoption(
        "--amigen-prefetch", action="store_true", help="Accepted for suites of amigen 0.1.0; without effect."
    )
    group.addoption(
        "--amigen-joined",
        action="store_true",
        help="The host must have joined its cluster: tests that need one fail where they would be skipped.",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
        config.addinivalue_line("markers", _PREFIX + marker)
    if config.pluginmanager.hasplugin("pytest11.testinfra") or config.pluginmanager.hasplugin("testinfra.plugin"):
        from amigen.testing.teach import teach_testinfra

        teach_testinfra()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What loads modules comes last, whatever file it is in: before it, tests see what was loaded without it."""
    items.sort(key=lambda item: any(item.get_closest_marker(name + "loads_modules") for name in ("", _PREFIX)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip what proves nothing: no fixture of every test, whose machinery costs more than the question.

    The host is the one that testinfra made the test for, before any fixture of the test is set up; where a fixture of
    the user's overrides `host`, it is known only afterwards.
    """
    host = host_of(item)
    if host is not None:
        _skip_what_proves_nothing(item, host)
    yield
    if host is None:
        _skip_what_proves_nothing(item, getattr(item, "funcargs", {}).get("host"))


def host_of(item: pytest.Item) -> Any:
    """The host that testinfra made the test for; None for a test without one."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("_testinfra_host") if callspec else None


def _skip_what_proves_nothing(item: pytest.Item, host: Any) -> None:
    # The nearest of each name comes first.
    nearest_last = reversed([*item.iter_markers()])
    named = {marker.name.removeprefix(_PREFIX): marker for marker in nearest_last}
    markers = {name: marker for name, marker in named.items() if name in _MARKED}
    # A fixture `host` that is not testinfra's may be anything, such as an address.
    if not markers or not hasattr(host, "backend"):
        return
    gathered = item.config.stash.setdefault(_FACTS, {}).get(id(host.backend))
    if gathered is None and "node" in getattr(item, "fixturenames", ()):
        facts: Facts | None = facts_of(item, host)
    else:
        facts = gathered[1] if gathered else None
    known = item.session.stash.setdefault(_KNOWN, {})
    if facts is None and id(host) not in known:
        known[id(host)] = (host, find_surroundings(host))
    around = facts.surroundings if facts is not None else known[id(host)][1]
    if "before_first_boot" in markers and around.systemd and not _is_image(item.config):
        pytest.skip(NOT_PROVABLE + "this machine has been booted, and so is no image any more")
    for name, need in _NEEDS.items():
        if name not in markers:
            continue
        reason = around.lacks(need)
        if need == "cluster" and not reason and not item.config.getoption("--amigen-joined"):
            reason = _not_joined(host, facts, markers[name].args)
        if reason:
            pytest.skip(NOT_PROVABLE + reason)


def _is_image(config: pytest.Config) -> bool:
    return bool(config.getoption("--amigen-image")) or config.getoption("--amigen-image-root") != "/"


def _not_joined(host: Any, facts: Facts | None, units: Sequence[str]) -> str:
    for unit in units:
        if facts is not None and unit in facts.active:
            state = facts.active[unit]
        else:
            state = host.run("systemctl is-active %s", unit).stdout.strip()
        if state == "active":
            return ""
    return "this machine has not joined a cluster; where it must have, say so (--joined, in pytest --amigen-joined)"


def give_facts(config: pytest.Config, backend: object, facts: Facts) -> None:
    """Let the fixture `node` of a backend be what was gathered already."""
    config.stash.setdefault(_FACTS, {})[id(backend)] = (backend, facts)


def facts_of(item: pytest.Item, host: Any) -> Facts:
    """The facts of a host: gathered once for all tests of the session, in one round trip.

    Raises:
        pytest.UsageError: `FACTS` of a test file cannot be used.
        GatherError: The script did not run to its end on the host.
    """
    known = item.config.stash.setdefault(_FACTS, {})
    if id(host.backend) not in known:
        known[id(host.backend)] = (host.backend, gather(host.backend, _wanted(item.session)))
    return known[id(host.backend)][1]


def _wanted(session: pytest.Session) -> Wanted:
    wanted = Wanted()
    for module in {id(m): m for m in (getattr(item, "module", None) for item in session.items) if m}.values():
        try:
            wanted |= Wanted.of(getattr(module, "FACTS", None) or {})
        except (TypeError, ValueError, AttributeError) as error:
            raise pytest.UsageError(f"{module.__file__}: {error}") from None
    return wanted


@pytest.fixture
def node(request: pytest.FixtureRequest, host: Any) -> Facts:
    """The facts of the host that `FACTS` of the test files name, see `amigen.facts.Facts`."""
    return facts_of(request.node, host)


@pytest.fixture
def kernel_module(host: Any) -> Callable[[str], KernelModule]:
    """`kernel_module(NAME)`: `is_loaded`, `is_builtin`, `is_available(kernel)`, `is_persisted`."""
    return lambda name: KernelModule(host, name)


@pytest.fixture
def installed_kernels(host: Any) -> tuple[str, ...]:
    """Releases of all kernels that are installed on the host; without any, the test is skipped as not provable."""
    kernels = find_kernels(host)
    if not kernels:
        pytest.skip(NOT_PROVABLE + "no kernel is installed here")
    return kernels


amigen_node = pytest.fixture(name="amigen_node")(lambda node: node)
amigen_kernel_module = pytest.fixture(name="amigen_kernel_module")(lambda kernel_module: kernel_module)


@pytest.fixture
def image_root(request: pytest.FixtureRequest) -> str:
    """The folder of the image on the host: `/`, or what `--amigen-image-root` says."""
    return str(request.config.getoption("--amigen-image-root"))

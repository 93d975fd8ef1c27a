"""`--amigen-prefetch`: gather for all tests of a session, from all its hosts at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from amigen.testing.prefetch.backend import PrefetchedBackend, prefetch
from amigen.testing.prefetch.sections import GatherError
from amigen.testing.prefetch.wanted import Wanted

_AT_ONCE = 32


def prefetch_hosts(items: Sequence[pytest.Item]) -> None:
    """Let the hosts of these tests answer from what is gathered now.

    Raises:
        pytest.UsageError: A test file's PREFETCH cannot be used.
    """
    wanted: dict[int, Wanted] = {}
    hosts: dict[int, Any] = {}
    for item in items:
        callspec = getattr(item, "callspec", None)
        host = callspec.params.get("_testinfra_host") if callspec else None
        asked = getattr(getattr(item, "module", None), "PREFETCH", None)
        if host is None or asked is None or isinstance(host.backend, PrefetchedBackend):
            continue
        try:
            more = Wanted.of(asked)
        except (TypeError, ValueError, AttributeError) as error:
            raise pytest.UsageError(f"{item.path}: {error}") from None
        hosts[id(host)] = host
        wanted[id(host)] = wanted[id(host)] | more if id(host) in wanted else more
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        list(pool.map(lambda key: _prefetch(hosts[key], wanted[key]), hosts))


def _prefetch(host: Any, wanted: Wanted) -> None:
    """A host that cannot be gathered from is asked test by test, and says there what is wrong with it."""
    try:
        host.backend = prefetch(host.backend, wanted)
    except (GatherError, RuntimeError, OSError):
        return

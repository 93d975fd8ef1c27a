"""The plan that brings a saved configuration back."""

from __future__ import annotations

import difflib

from amigen.base.errors import ConflictError, InputError
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy import addon_values as eks
from amigen.kubeproxy import detect
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.plan import ChangePlan, arrange
from amigen.kubeproxy.request import ChangeRequest
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings


def plan_rollback(
    observed: Observed,
    saved: Saved,
    request: ChangeRequest,
    *,
    discard: bool = False,
    running: eks.Update | None = None,
) -> ChangePlan:
    """Plan it, without asking whether the old mode still works: it ran before.

    Args:
        observed: What is.
        saved: Where to go.
        request: How.
        discard: Also where somebody has changed the configuration since; their change goes.
        running: The update of the add-on that is under way.

    Raises:
        ConflictError: Somebody changed it since, or another update of the add-on is under way.
        RefusedError: The other of the two manages kube-proxy now.
        InputError: The saved configuration belongs to another ConfigMap.
    """
    way = detect.choose(
        observed.managed,
        saved.way,
        despite_addon=request.despite_addon,
        cluster=request.cluster_name or observed.cluster,
    )
    if way == "addon":
        state = detect.known_addon(observed.managed)
        eks.followed(running, state.values, saved.before)  # before it is compared: it is still changing
        current = state.values
        same = eks.read_values(current) == eks.read_values(saved.before)
        known = same or eks.read_values(current) == eks.read_values(saved.after)
        mode = str(eks.read_values(saved.before).get("mode") or "iptables")
    else:
        if (saved.name, saved.key) != (observed.source.name, observed.source.key):
            raise InputError(
                f"saved from configmap {saved.name}, key {saved.key}; kube-proxy reads {observed.source.name},"
                f" key {observed.source.key} now"
            )
        current = observed.config.text
        same = current == saved.before
        known = same or current == saved.after
        mode = read_config(saved.before, "the saved configuration").mode
    diff = _diff(current, saved.before)
    if not known and not discard:
        raise ConflictError(
            "somebody changed kube-proxy's configuration after amigen did; going back would lose that:\n" + diff,
            "take it over by hand, or go back all the same with --discard-later-changes",
        )
    if mode not in PROXY_MODES:
        raise InputError(f"the saved configuration has mode {mode!r}, which amigen does not know")
    settings = Settings(mode=mode)
    texts = (current, current, "") if same else (current, saved.before, diff)
    return arrange(observed, settings, request, way, texts, running)


def _diff(now: str, then: str) -> str:
    lines = difflib.unified_diff(
        now.splitlines(keepends=True), then.splitlines(keepends=True), "configuration (now)", "configuration (saved)"
    )
    return "".join(lines)

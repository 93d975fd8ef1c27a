"""The plan that brings a saved configuration back."""

from __future__ import annotations

from amigen.base.errors import ConflictError, InputError
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy import addon_values as eks
from amigen.kubeproxy import detect
from amigen.kubeproxy.change import ChangePlan, ChangeRequest
from amigen.kubeproxy.config import text_diff
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.plan import arrange
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.ways import WAYS, Texts


def plan_rollback(
    observed: Observed,
    saved: Saved,
    request: ChangeRequest,
    *,
    discard: bool = False,
    running: eks.Update | None = None,
) -> ChangePlan:
    """Plan it, without asking whether the old mode still works: it ran before.

    Raises:
        ConflictError: It was changed since, or another update of the add-on is under way.
        RefusedError: The other of the two manages kube-proxy now.
        InputError: The saved configuration belongs to another ConfigMap.
    """
    way = detect.choose(
        observed.managed,
        saved.way,
        despite_addon=request.despite_addon,
        cluster=request.cluster_name or observed.cluster,
    )
    found = WAYS[way].restored(observed, saved, running)
    diff = text_diff(found.current, saved.before, "configuration", "saved")
    if not found.known and not discard:
        raise ConflictError(
            "kube-proxy's configuration was changed after amigen's change; a rollback would lose that:\n" + diff,
            "merge it by hand, or use --discard-later-changes",
        )
    if found.mode not in PROXY_MODES:
        raise InputError(f"the saved configuration has mode {found.mode!r}, which amigen does not know")
    texts = Texts(before=found.current, after=found.current)
    if not found.same:
        texts = Texts(before=found.current, after=saved.before, diff=diff)
    return arrange(observed, Settings(mode=found.mode), request, way, texts, running)

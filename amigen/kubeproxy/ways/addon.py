"""The EKS add-on: its configurationValues, merged, validated, updated and followed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amigen.base.errors import ConflictError, KubernetesError
from amigen.base.waiting import wait_until
from amigen.kubeproxy import addon as eks
from amigen.kubeproxy import detect
from amigen.kubeproxy.change import NOTHING_CHANGED, ChangePlan, Restored
from amigen.kubeproxy.config import contradictions, text_diff
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.observe import Observed, embedded
from amigen.kubeproxy.rollout import Tools
from amigen.kubeproxy.saved import Saved
from amigen.kubernetes.kinds import CONFIG_MAPS, Kind

# How long the ConfigMap may take to follow an update that EKS calls successful.
_ARRIVAL_SECONDS = 10.0


class AddonWay:
    """See `Way`."""

    label = "EKS add-on"
    by_pool = False

    def edited(self, plan: ChangePlan, schema: Mapping[str, Any] | None) -> ChangePlan:
        state, settings = detect.known_addon(plan.observed.managed), plan.settings
        assert schema is not None, "the caller fetches the schema of the add-on that it found"
        values = eks.merged(state.values, settings)
        fields = "".join(f" --set {path}={value_text(value)}" for path, value in settings.fields.items())
        leave = detect.leave_addon(plan.request.cluster_name)
        other = f"{leave}: `amigen kube-proxy apply --by configmap --mode {settings.mode}{fields}`"
        eks.validate(values, schema, state.version, other)
        if eks.read_values(state.values) == eks.read_values(values):
            return replace(plan, before=state.values, after=state.values)
        before, after = (
            json.dumps(eks.read_values(text), indent=2, sort_keys=True) + "\n" for text in (state.values, values)
        )
        diff = text_diff(before, after, f"add-on {eks.ADDON} {state.version}, configurationValues")
        return replace(plan, before=state.values, after=values, diff=diff)

    def resumed(self, plan: ChangePlan, running: eks.Update | None) -> ChangePlan:
        state = plan.observed.managed.addon
        if state is None:
            return plan
        if follow := eks.followed(running, state.values, plan.after):
            return replace(plan, follow=follow)
        same = plan.before == plan.after
        drift = contradictions(plan.observed.config, plan.settings.changes) if same else ()
        return replace(plan, drift=drift, repeat=state.status == "UPDATE_FAILED" or bool(drift))

    def call(self, plan: ChangePlan) -> str:
        return eks.call_text(plan.request.cluster_name, plan.after, plan.request.resolve)

    def warnings(self, plan: ChangePlan) -> list[str]:
        resolve, state = plan.request.resolve, plan.observed.managed.addon
        found = [f"--resolve-conflicts {resolve}: {eks.RESOLVE_MEANS[resolve]}"]
        if plan.drift and resolve != "OVERWRITE":
            found.append(f"--resolve-conflicts {resolve} keeps what the ConfigMap says: use OVERWRITE")
        return found + [f"the add-on reports {issue}" for issue in (state.issues if state else ())]

    def rights(self, plan: ChangePlan) -> list[tuple[str, Kind, str]]:
        del plan
        return []

    def place(self, plan: ChangePlan) -> tuple[str, str]:
        state = plan.observed.managed.addon
        return plan.request.cluster_name, state.version if state else ""

    def write(self, tools: Tools, plan: ChangePlan, refused: Callable[[], None]) -> None:
        assert tools.addon is not None
        update_id = plan.follow
        if not update_id:
            try:
                _check_unchanged(tools, plan)
                update_id = tools.addon.update(plan.after or "{}", plan.request.resolve)
            except ConflictError:
                refused()
                raise
        tools.say(f"{'following' if plan.follow else 'started'} add-on update {update_id}")
        tools.addon.follow(update_id, seconds=tools.seconds, say=lambda line: tools.say(f"  {line}"))
        _wait_for_arrival(tools, plan)

    def restored(self, observed: Observed, saved: Saved, running: eks.Update | None) -> Restored:
        state = detect.known_addon(observed.managed)
        eks.followed(running, state.values, saved.before)  # before it is compared: it is still changing
        current, before, after = (eks.read_values(text) for text in (state.values, saved.before, saved.after))
        same, mode = current == before, str(before.get("mode") or "iptables")
        return Restored(current=state.values, same=same, known=same or current == after, mode=mode)


def _check_unchanged(tools: Tools, plan: ChangePlan) -> None:
    """UpdateAddon knows no resourceVersion, and its values replace all others: so read it once more before it."""
    assert tools.addon is not None
    then, now = plan.observed.managed.addon, tools.addon.read()
    if now is None or then is None or (now.version, now.values, now.status) != (
        then.version, then.values, then.status
    ):  # fmt: skip
        raise ConflictError("the add-on was changed concurrently", NOTHING_CHANGED)


def _wait_for_arrival(tools: Tools, plan: ChangePlan) -> None:
    """Restart no kube-proxy for a configuration that is not there."""
    missing: tuple[str, ...] = ()
    where = ""

    def arrived() -> bool:
        nonlocal missing, where
        config = embedded(tools.cluster.get(CONFIG_MAPS, plan.observed.source.name), plan.observed.source)
        missing, where = contradictions(config, plan.settings.changes), config.where
        return not missing

    if not wait_until(arrived, seconds=_ARRIVAL_SECONDS, every=1.0):
        raise KubernetesError(
            f"the add-on's update has ended well, and {where} does not have it: {'; '.join(missing)}",
            f"an edit by hand was kept (--resolve-conflicts {plan.request.resolve}): repeat with --resolve-conflicts"
            " OVERWRITE, after which it is gone; no kube-proxy was restarted",
        )

"""The ConfigMap that kube-proxy reads, edited in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amigen.base.errors import AmigenError, ConflictError, InputError
from amigen.kubeproxy.addon import Update
from amigen.kubeproxy.change import NOTHING_CHANGED, ChangePlan, Restored
from amigen.kubeproxy.config import read_config, text_diff
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.rollout import Tools
from amigen.kubeproxy.saved import Saved
from amigen.kubernetes.kinds import CONFIG_MAPS, Kind
from amigen.kubernetes.transport import UnreachableError


class ConfigMapWay:
    """See `Way`."""

    label = "ConfigMap"
    by_pool = True

    def edited(self, plan: ChangePlan, schema: Mapping[str, Any] | None) -> ChangePlan:
        del schema
        before = plan.observed.config
        after = before.edited(plan.settings.changes)
        diff = text_diff(before.text, after.text, before.where)
        return replace(plan, before=before.text, after=after.text, diff=diff)

    def resumed(self, plan: ChangePlan, running: Update | None) -> ChangePlan:
        del running
        return plan

    def call(self, plan: ChangePlan) -> str:
        source, version = plan.observed.source, plan.observed.config_map["metadata"]["resourceVersion"]
        return f"PUT {CONFIG_MAPS.path(source.name)}: key {source.key}, resourceVersion {version}"

    def warnings(self, plan: ChangePlan) -> list[str]:
        if plan.observed.managed.way != "addon":
            return []
        return ["the add-on manages kube-proxy and will overwrite this at its next update (--despite-addon)"]

    def rights(self, plan: ChangePlan) -> list[tuple[str, Kind, str]]:
        return [("update", CONFIG_MAPS, plan.observed.source.name)]

    def place(self, plan: ChangePlan) -> tuple[str, str]:
        return plan.observed.source.name, plan.observed.source.key

    def write(self, tools: Tools, plan: ChangePlan, refused: Callable[[], None]) -> None:
        source = plan.observed.source
        try:
            tools.cluster.replace(
                CONFIG_MAPS, source.name, _with_text(plan.observed.config_map, source.key, plan.after)
            )
        except UnreachableError as error:
            error.message += "; whether the configuration was written is not known"
            error.args = (error.message,)
            raise
        except AmigenError as error:
            # Refused as a whole: nothing was changed, and there is nothing to go back to.
            refused()
            if isinstance(error, ConflictError):
                error.hint = NOTHING_CHANGED
            raise
        tools.say(f"wrote configmap {source.name}, key {source.key}")

    def restored(self, observed: Observed, saved: Saved, running: Update | None) -> Restored:
        del running
        source, current = observed.source, observed.config.text
        if (saved.name, saved.key) != (source.name, source.key):
            raise InputError(
                f"saved from configmap {saved.name}, key {saved.key}; kube-proxy reads {source.name},"
                f" key {source.key} now"
            )
        same = current == saved.before
        mode = read_config(saved.before, "the saved configuration").mode
        return Restored(current=current, same=same, known=same or current == saved.after, mode=mode)


def _with_text(config_map: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """The ConfigMap as it was read, with another text in one key and its resourceVersion."""
    meta = {name: value for name, value in config_map["metadata"].items() if name != "managedFields"}
    return {**config_map, "metadata": meta, "data": {**config_map["data"], key: text}}

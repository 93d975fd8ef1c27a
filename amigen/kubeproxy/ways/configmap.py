"""The ConfigMap that kube-proxy reads, edited in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amigen.base.errors import AmigenError, ConflictError, InputError
from amigen.kubeproxy.change import NOTHING_CHANGED, ChangePlan, Way
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings
from amigen.kubernetes.kinds import CONFIG_MAPS
from amigen.kubernetes.transport import UnreachableError


class ConfigMapWay(Way):
    """See `Way`."""

    name = "configmap"
    label = "ConfigMap"
    by_pool = True

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        source, self.current, self.where = observed.source, observed.config.text, observed.config.where
        self.place = source.name, source.key
        self.rights = (("update", CONFIG_MAPS, source.name),)

    def edited(self, settings: Settings) -> str:
        return self._observed.config.edited(settings.changes).text

    def restorable(self, saved: Saved) -> str:
        name, key = self.place
        if (saved.name, saved.key) != self.place:
            raise InputError(
                f"saved from configmap {saved.name}, key {saved.key}; kube-proxy reads {name}, key {key} now"
            )
        return read_config(saved.before, "the saved configuration").mode

    def call(self, plan: ChangePlan) -> str:
        source, version = plan.observed.source, plan.observed.config_map["metadata"]["resourceVersion"]
        return f"PUT {CONFIG_MAPS.path(source.name)}: key {source.key}, resourceVersion {version}"

    def warnings(self, plan: ChangePlan) -> list[str]:
        if plan.observed.managed.way != "addon":
            return []
        return ["the add-on manages kube-proxy and will overwrite this at its next update (--despite-addon)"]

    def write(self, plan: ChangePlan, say: Callable[[str], None], seconds: float, refused: Callable[[], None]) -> None:
        del seconds
        source = plan.observed.source
        try:
            plan.observed.cluster.replace(
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
        say(f"wrote configmap {source.name}, key {source.key}")


def _with_text(config_map: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """The ConfigMap as it was read, with another text in one key and its resourceVersion."""
    meta = {name: value for name, value in config_map["metadata"].items() if name != "managedFields"}
    return {**config_map, "metadata": meta, "data": {**config_map["data"], key: text}}

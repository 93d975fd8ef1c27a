"""Write a plan's configuration, by the add-on or into the ConfigMap, and lose nobody's change by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amigen.base.errors import AmigenError, ConflictError, KubernetesError
from amigen.kubeproxy.addon import Addon
from amigen.kubeproxy.cluster import Cluster
from amigen.kubeproxy.drift import contradictions
from amigen.kubeproxy.kinds import CONFIG_MAPS
from amigen.kubeproxy.observe import embedded
from amigen.kubeproxy.plan import ChangePlan
from amigen.kubeproxy.rollout import Clock
from amigen.kubeproxy.saved import Saved, save
from amigen.kubeproxy.transport import UnreachableError

_AGAIN = "nothing was changed; look at `amigen kube-proxy plan` again, then repeat"
# How long the ConfigMap may take to follow an update that EKS calls successful.
_ARRIVAL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes on one cluster.

    Attributes:
        seconds: How long the add-on's update may take.
        say: Takes a line of progress.
    """

    cluster: Cluster
    addon: Addon | None
    clock: Clock
    say: Callable[[str], None]
    seconds: float

    def save(self, plan: ChangePlan, *, aside: bool) -> Path:
        """Keep what is configured now."""
        is_addon = plan.way == "addon"
        state = plan.observed.managed.addon
        return save(
            Saved(
                cluster=self.cluster.name,
                server=self.cluster.server,
                way=plan.way,
                name=plan.eks_cluster if is_addon else plan.observed.source.name,
                key=(state.version if state else "") if is_addon else plan.observed.source.key,
                before=plan.before,
                after=plan.after,
                at=self.cluster.now(),
            ),
            aside=aside,
        )

    def config_map(self, plan: ChangePlan, refused: Callable[[], None]) -> None:
        """Write the ConfigMap's key, unless somebody was faster; `refused` undoes what was prepared.

        Raises:
            ConflictError: It was changed since the plan; nothing was written.
            UnreachableError: Whether it was written is not known.
        """
        source = plan.observed.source
        try:
            self.cluster.replace(CONFIG_MAPS, source.name, _with_text(plan.observed.config_map, source.key, plan.after))
        except UnreachableError as error:
            error.message += "; whether the configuration was written is not known"
            error.args = (error.message,)
            raise
        except AmigenError as error:
            # Refused as a whole: nothing was changed, and there is nothing to go back to.
            refused()
            if isinstance(error, ConflictError):
                error.hint = _AGAIN
            raise
        self.say(f"wrote configmap {source.name}, key {source.key}")

    def update_addon(self, plan: ChangePlan, refused: Callable[[], None]) -> None:
        """Send the add-on's update, or go on with the one that is under way, and follow it to where it shows.

        Raises:
            ConflictError: The add-on was changed since the plan, or is being changed; nothing was sent.
            KubernetesError: The update ended well and the ConfigMap does not have it.
        """
        assert self.addon is not None
        update_id = plan.follow
        if not update_id:
            try:
                self._nobody_else(plan)
                update_id = self.addon.update(plan.after or "{}", plan.resolve)
            except ConflictError:
                refused()
                raise
        self.say(f"{'following' if plan.follow else 'started'} add-on update {update_id}")
        self.addon.follow(update_id, seconds=self.seconds, say=lambda line: self.say(f"  {line}"))
        self._arrived(plan)

    def _nobody_else(self, plan: ChangePlan) -> None:
        """UpdateAddon knows no resourceVersion, and its values replace all others: so look once more before it."""
        assert self.addon is not None
        then, now = plan.observed.managed.addon, self.addon.read()
        if now is None or then is None or (now.version, now.values, now.status) != (
            then.version, then.values, then.status
        ):  # fmt: skip
            raise ConflictError("the add-on was changed concurrently", _AGAIN)

    def _arrived(self, plan: ChangePlan) -> None:
        """Restart no kube-proxy for a configuration that is not there."""
        deadline = self.clock.monotonic() + _ARRIVAL_SECONDS
        while True:
            config = embedded(self.cluster.get(CONFIG_MAPS, plan.observed.source.name), plan.observed.source)
            missing = contradictions(config, plan.settings.changes)
            if not missing:
                return
            if self.clock.monotonic() >= deadline:
                raise KubernetesError(
                    f"the add-on's update has ended well, and {config.where} does not have it: {'; '.join(missing)}",
                    f"an edit by hand was kept (--resolve-conflicts {plan.resolve}): repeat with --resolve-conflicts"
                    " OVERWRITE, after which it is gone; no kube-proxy was restarted",
                )
            self.clock.sleep(1.0)


def _with_text(config_map: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """The ConfigMap as it was read, with another text in one key and its resourceVersion."""
    meta = {name: value for name, value in config_map["metadata"].items() if name != "managedFields"}
    return {**config_map, "metadata": meta, "data": {**config_map["data"], key: text}}

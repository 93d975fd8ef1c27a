"""The EKS add-on: its configurationValues, merged, validated, updated and followed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from amigen.base.errors import AwsError, ConflictError, KubernetesError
from amigen.base.waiting import attempts
from amigen.kubeproxy import addon as eks
from amigen.kubeproxy.change import NOTHING_CHANGED, ChangePlan, Way
from amigen.kubeproxy.config import contradictions
from amigen.kubeproxy.detect import leave_addon
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.observe import Observed, embedded
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings
from amigen.kubernetes.kinds import CONFIG_MAPS

_RESOLVE_MEANS: dict[eks.Resolve, str] = {
    "OVERWRITE": "what was edited by hand in the cluster goes back to the add-on's configuration",
    "PRESERVE": "what was edited by hand in the cluster stays, also where it contradicts this change",
    "NONE": "what was edited by hand in the cluster stays, and the update fails where it contradicts",
}
# How long the ConfigMap may take to follow an update that EKS calls successful.
_ARRIVAL_SECONDS = 10.0


class AddonWay(Way):
    """See `Way`. Raises AwsError where the add-on manages kube-proxy, and EKS could not be asked."""

    name = "addon"
    label = "EKS add-on"
    by_pool = False

    def __init__(self, observed: Observed) -> None:
        managed = observed.managed
        if managed.addon is None or managed.eks is None:
            raise AwsError(
                f"the EKS add-on manages kube-proxy, and EKS could not be asked: {managed.evidence}",
                "name the cluster with --cluster-name and --region, and check the AWS credentials; where the add-on is"
                " gone and only its field manager is left: --by configmap --despite-addon",
            )
        self._observed, self._state, self._eks = observed, managed.addon, managed.eks
        self.where = f"add-on {eks.ADDON} {self._state.version}, configurationValues"
        self.current, self.failed = self._state.values, self._state.status == "UPDATE_FAILED"
        self.place = managed.cluster, self._state.version

    def edited(self, settings: Settings) -> str:
        values = eks.merged(self.current, settings)
        fields = "".join(f" --set {path}={value_text(value)}" for path, value in settings.fields.items())
        other = f"`amigen kube-proxy apply --by configmap --mode {settings.mode}{fields}`"
        eks.validate(
            values,
            self._eks.schema(self._state.version),
            self._state.version,
            f"{leave_addon(self.place[0])}: {other}",
        )
        return values

    def restorable(self, saved: Saved) -> str:
        return str(eks.read_values(saved.before).get("mode") or "iptables")

    def shown(self, text: str) -> str:
        return json.dumps(eks.read_values(text), indent=2, sort_keys=True) + "\n"

    @cached_property
    def _running(self) -> tuple[str, str]:
        return self._eks.under_way() if self._state.status == "UPDATING" else ("", "")

    def follow(self, wanted: str) -> str:
        update_id, values = self._running
        # Of another one the values would be lost, or these refused.
        if update_id and self.shown(values or self.current) != self.shown(wanted):
            raise ConflictError(
                f"another update of the add-on, {update_id}, is under way",
                "wait for it (`aws eks describe-update`), run `amigen kube-proxy plan` again, then repeat",
            )
        return update_id

    def drift(self, changes: Mapping[str, Any]) -> tuple[str, ...]:
        return contradictions(self._observed.config, changes)

    def call(self, plan: ChangePlan) -> str:
        # As a command of the AWS CLI: whoever copies it runs this and nothing else.
        words = ["aws", "eks", "update-addon", "--cluster-name", self.place[0] or "CLUSTER", "--addon-name", eks.ADDON]
        words += ["--configuration-values", plan.after, "--resolve-conflicts", plan.request.resolve]
        return f"eks:UpdateAddon: {shlex.join(words)}"

    def warnings(self, plan: ChangePlan) -> list[str]:
        resolve = plan.request.resolve
        found = [f"--resolve-conflicts {resolve}: {_RESOLVE_MEANS[resolve]}"]
        if plan.drift and resolve != "OVERWRITE":
            found.append(f"--resolve-conflicts {resolve} keeps what the ConfigMap says: use OVERWRITE")
        return found + [f"the add-on reports {issue}" for issue in self._state.issues]

    def _check_unchanged(self) -> None:
        """UpdateAddon knows no resourceVersion, and its values replace all others: so read it once more before it."""
        then, now = self._state, self._eks.read()
        if now is None or (now.version, now.values, now.status) != (then.version, then.values, then.status):
            raise ConflictError("the add-on was changed concurrently", NOTHING_CHANGED)

    def write(self, plan: ChangePlan, say: Callable[[str], None], seconds: float, refused: Callable[[], None]) -> None:
        update_id = plan.follow
        if not update_id:
            try:
                self._check_unchanged()
                update_id = self._eks.update(plan.after or "{}", plan.request.resolve)
            except ConflictError:
                refused()
                raise
        say(f"{'following' if plan.follow else 'started'} add-on update {update_id}")
        self._eks.follow(update_id, seconds=seconds, say=lambda line: say(f"  {line}"))
        _wait_for_arrival(plan)


def _wait_for_arrival(plan: ChangePlan) -> None:
    """Restart no kube-proxy for a configuration that is not there."""
    source = plan.observed.source
    for _ in attempts(seconds=_ARRIVAL_SECONDS, every=1.0):
        config = embedded(plan.observed.cluster.get(CONFIG_MAPS, source.name), source)
        if not (missing := contradictions(config, plan.settings.changes)):
            return
    raise KubernetesError(
        f"the add-on's update has ended well, and {config.where} does not have it: {'; '.join(missing)}",
        f"an edit by hand was kept (--resolve-conflicts {plan.request.resolve}): repeat with --resolve-conflicts"
        " OVERWRITE, after which it is gone; no kube-proxy was restarted",
    )

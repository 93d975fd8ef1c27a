"""How a change is carried out, as the user asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from amigen.kubeproxy.addon_values import Resolve


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """What the user asked for, besides the settings.

    Attributes:
        by_pool: Restart node pool by node pool; `pools` names them in order, empty: all, by name.
        verified: Of each verified node the outcome by check id, out of a report of `amigen verify`.
    """

    by: Literal["auto", "addon", "configmap"] = "auto"
    despite_addon: bool = False
    cluster_name: str = ""
    resolve: Resolve = "OVERWRITE"
    by_pool: bool = False
    pools: tuple[str, ...] = ()
    verified: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

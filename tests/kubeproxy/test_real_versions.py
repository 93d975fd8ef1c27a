"""What real kube-proxies of three versions refuse, against what `plan` refuses.

`--write-config-to` makes kube-proxy read and judge its configuration, and end.
"""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from amigen.base.errors import RefusedError
from amigen.knowledge import GATES, PROXY_MODES
from amigen.kubeproxy.change import ChangeRequest
from amigen.kubeproxy.fields import KEYWORDS
from amigen.kubeproxy.plan import make_plan
from amigen.kubeproxy.settings import Settings
from tests.kubeproxy.test_plan import observed
from tests.real.build import program
from tests.real.control_plane import PROXIES

pytestmark = pytest.mark.slow

CHANGES: tuple[dict[str, Any], ...] = (
    {},
    *({f"featureGates.{gate.name}": value} for gate in GATES for value in (True, False)),
    *({"nodePortAddresses": list(words)} for words in (*itertools.combinations(KEYWORDS, 1), KEYWORDS)),
    {"nodePortAddresses": ["primary", "192.0.2.0/24"]},
)


def document(mode: str, fields: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
    gates = {path.split(".")[1]: value for path, value in fields.items() if path.startswith("featureGates.")}
    others = {path: value for path, value in fields.items() if not path.startswith("featureGates.")}
    return {**found, "mode": mode, "featureGates": gates, **others}


def exits(proxy: Path, folder: Path, mode: str, fields: dict[str, Any]) -> str:
    """Why this kube-proxy would not start; empty: it takes the configuration."""
    file = folder / "config.conf"
    file.write_text(yaml.safe_dump(document(mode, fields)))
    command = [str(proxy), f"--config={file}", f"--write-config-to={folder / 'read.conf'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.stderr if done.returncode else ""


def refusal(version: str, mode: Any, fields: dict[str, Any]) -> str:
    """Why `plan` refuses it; empty: it does not."""
    try:
        make_plan(observed(version=version), Settings(mode=mode, fields=fields), ChangeRequest())
    except RefusedError as error:
        return error.message
    return ""


@pytest.mark.parametrize("version", PROXIES)
def test_plan_refuses_what_kube_proxy_refuses(version: str, tmp_path: Path) -> None:
    """Each mode with each feature gate and with each kind of node port addresses."""
    proxy = program(PROXIES[version], "kube-proxy")
    wrong = []
    for mode, fields in itertools.product(PROXY_MODES, CHANGES):
        real, ours = exits(proxy, tmp_path, mode, fields), refusal(version, mode, fields)
        if bool(real) != bool(ours):
            wrong.append((mode, fields, f"kube-proxy: {real[-200:]}", f"plan: {ours}"))
    assert wrong == []


def test_the_judge_refuses_at_all(tmp_path: Path) -> None:
    """A mode that is none is refused: the program's verdict is seen."""
    assert "Mode" in exits(program("kubernetes-1.37", "kube-proxy"), tmp_path, "nonsense", {})

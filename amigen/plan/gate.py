"""The gate: a node that is not ready must not join.

`After=cloud-final.service` alone lets nodeadm-run start after a failed user data script (karpenter issue 5494).
The units that start kubelet therefore wait for `amigen-ready.service`, which checks modules and scheduler at each
boot, and they assert at each start that it is active. `Requires=` and `BindsTo=` would stop a running kubelet: the
first when the gate is stopped, the second at the daemon-reload after the drop-in was written. systemd looks at an
assertion when a job runs, also a job that was queued before the drop-in existed, as that of nodeadm-run at the first
boot (systemd.unit(5); seen with systemd 252).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from amigen.base.templates import render
from amigen.plan import checks
from amigen.plan.model import InstallGate, WriteFile
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage
from amigen.spec.values import Platform

UNIT = "amigen-ready.service"
SCRIPT_PATH = "/usr/local/lib/amigen/ready"
RELEASE_PATH = "/etc/amigen/release.json"


def gate_step(spec: NodeImage, platform: Platform, modules: tuple[str, ...]) -> InstallGate:
    """The unit, its script and the drop-ins of the units that wait for it."""
    mode = spec.kube_proxy.mode
    return _gate(platform, mode, spec.kube_proxy.ipvs.scheduler if mode == "ipvs" else "", modules)


# Few specs differ in these, and who renders thousands of them should not pay for the same four files each time.
@lru_cache(maxsize=64)
def _gate(platform: Platform, mode: str, scheduler: str, modules: tuple[str, ...]) -> InstallGate:
    units = PLATFORMS[platform].kubelet_units
    script = render(
        "templates",
        "ready.sh.jinja",
        mode=mode,
        modules=modules,
        scheduler=scheduler,
        release_path=RELEASE_PATH,
        units=units,
    )
    texts = [
        (SCRIPT_PATH, "0755", script),
        (
            f"/etc/systemd/system/{UNIT}",
            "0644",
            render("templates", "amigen-ready.service.jinja", mode=mode, units=units),
        ),
    ]
    drop_in = render("templates", "gate.conf.jinja")
    files = tuple(_file(path, mode_, text) for path, mode_, text in texts)
    drop_ins = tuple(_file(f"/etc/systemd/system/{unit}.d/10-amigen-ready.conf", "0644", drop_in) for unit in units)
    found = [check for file in (*files, *drop_ins) for check in file.checks]
    found += [checks.UnitEnabledCheck(unit=UNIT), checks.UnitActiveCheck(unit=UNIT)]
    title = f"make {' and '.join(units)} wait for {UNIT}"
    return InstallGate(title=title, files=files, drop_ins=drop_ins, unit=UNIT, checks=tuple(found))


def _file(path: str, mode: str, text: str) -> WriteFile:
    content = text.encode()
    check = checks.FileCheck(path=path, sha256=hashlib.sha256(content).hexdigest(), mode=mode)
    return WriteFile(title=f"write {path}", path=path, content=content, mode=mode, checks=(check,))

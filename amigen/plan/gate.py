"""The gate: a node that is not ready must not join.

`After=cloud-final.service` alone lets nodeadm-run start after a failed user data script (karpenter issue 5494). The
units that start kubelet therefore ask the gate's script before each start (`ExecCondition=`): whether the bootstrap
has run to its end, the modules are loaded and ipvs takes the scheduler. What is refused is noted in `/run/amigen-held`,
and started by the script when the node is ready. `Requires=` and `BindsTo=` of the gate's unit would stop a running
kubelet.

systemd runs the condition when a job runs, also a job that was queued before the drop-in existed, as that of
nodeadm-run at the first boot; a unit that is refused has not failed, and `Restart=` does not start it again
(systemd.service(5); seen with systemd 252). `+` runs it as root, whatever user the unit has.
"""

from __future__ import annotations

from amigen.base.templates import render
from amigen.checks.model import GATE_UNIT, RELEASE_PATH, InstallGate, WriteFile
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage
from amigen.spec.values import Platform

SCRIPT_PATH = "/usr/local/lib/amigen/ready"


def gate_step(spec: NodeImage, platform: Platform, modules: tuple[str, ...]) -> InstallGate:
    """The unit, its script, and the drop-ins of the units that start kubelet."""
    mode = spec.kube_proxy.mode
    units = PLATFORMS[platform].kubelet_units
    script = render(
        "templates",
        "ready.sh.jinja",
        mode=mode,
        modules=tuple(module.replace("-", "_") for module in modules),
        scheduler=spec.kube_proxy.ipvs.scheduler if mode == "ipvs" else "",
        release_path=RELEASE_PATH,
    )
    unit = render("templates", "amigen-ready.service.jinja", mode=mode)
    files = (_file(SCRIPT_PATH, script, "0755"), _file(f"/etc/systemd/system/{GATE_UNIT}", unit))
    drop_in = render("templates", "gate.conf.jinja")
    drop_ins = tuple(_file(f"/etc/systemd/system/{unit}.d/10-amigen-ready.conf", drop_in) for unit in units)
    title = f"start {' and '.join(units)} only on a node that is ready"
    return InstallGate(title=title, files=files, drop_ins=drop_ins, unit=GATE_UNIT)


def _file(path: str, text: str, mode: str = "0644") -> WriteFile:
    return WriteFile(title=f"write {path}", path=path, content=text.encode(), mode=mode)

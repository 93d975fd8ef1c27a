"""The gate: a node that is not ready must not join.

`After=cloud-final.service` alone lets nodeadm-run start after a failed user data script (karpenter issue 5494). The
units that start kubelet therefore wait for `amigen-ready.service`, which checks modules and scheduler at each boot,
and they assert at each start that it is active. `Requires=` and `BindsTo=` would stop a running kubelet: the first
when the gate is stopped, the second at the daemon-reload after the drop-in was written. By default dependencies the
unit comes after sysinit.target, thus after systemd-modules-load and systemd-sysctl.

systemd looks at an assertion when a job runs, also a job that was queued before the drop-in existed, as that of
nodeadm-run at the first boot (systemd.unit(5); seen with systemd 252). `Before=` in the gate's unit makes systemd
keep a unit that it held and that nothing else refers to: it would forget that the assertion failed, and the gate
would not start it.
"""

from __future__ import annotations

from amigen.base.templates import render
from amigen.checks.model import GATE_UNIT, RELEASE_PATH, InstallGate, WriteFile
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage
from amigen.spec.values import Platform

# There while a run of the bootstrap has changed something and has not ended well; the reason of a failure is in it.
UNFINISHED_PATH = "/var/lib/amigen/unfinished"
SCRIPT_PATH = "/usr/local/lib/amigen/ready"


def gate_step(spec: NodeImage, platform: Platform, modules: tuple[str, ...]) -> InstallGate:
    """The unit, its script and the drop-ins of the units that wait for it."""
    mode = spec.kube_proxy.mode
    units = PLATFORMS[platform].kubelet_units
    script = render(
        "templates",
        "ready.sh.jinja",
        mode=mode,
        modules=tuple(module.replace("-", "_") for module in modules),
        scheduler=spec.kube_proxy.ipvs.scheduler if mode == "ipvs" else "",
        release_path=RELEASE_PATH,
        unfinished=UNFINISHED_PATH,
        units=units,
    )
    unit = render("templates", "amigen-ready.service.jinja", mode=mode, units=units)
    files = (_file(SCRIPT_PATH, script, "0755"), _file(f"/etc/systemd/system/{GATE_UNIT}", unit))
    drop_in = render("templates", "gate.conf.jinja")
    drop_ins = tuple(_file(f"/etc/systemd/system/{unit}.d/10-amigen-ready.conf", drop_in) for unit in units)
    title = f"make {' and '.join(units)} wait for {GATE_UNIT}"
    return InstallGate(title=title, files=files, drop_ins=drop_ins, unit=GATE_UNIT)


def _file(path: str, text: str, mode: str = "0644") -> WriteFile:
    return WriteFile(title=f"write {path}", path=path, content=text.encode(), mode=mode)

"""The kept list of breaks: what can go wrong with an image, the checks that say so, and the cause that comes first.

Each break is a shell script. It runs in the root of the built image of `tests.verify.images`; the image stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from amigen.knowledge import IPVS_MODULES

LOAD = "/etc/modules-load.d/ipvs.conf"
OPTIONS = "/etc/modprobe.d/amigen-ipvs.conf"
SYSCTL = "/etc/sysctl.d/90-amigen.conf"
OPTION = "test_module_option[conn_tab_bits]"
AT_BOOT = "test_sysctl_at_boot[net.core.somaxconn]"
ENABLED = "test_unit_enabled[amigen-ready.service]"
FOREIGN = "not built by amigen from this spec"
UNIT = "/etc/systemd/system/amigen-ready.service"
READY = "/usr/local/lib/amigen/ready"
DROP_IN = "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf"
RELEASE = "/etc/amigen/release.json"
KERNEL = "cd /lib/modules/*/"
PERSISTED = {f"test_module_persisted[{module}]" for module in IPVS_MODULES}
IN_KERNEL = {f"test_module_in_every_kernel[{module}]" for module in IPVS_MODULES}


@dataclass(frozen=True, kw_only=True)
class Break:
    """One thing that is wrong.

    Attributes:
        script: Breaks it.
        red: Exactly the checks of files that fail.
        cause: Words of the report's first line.
        append: Added to the kernel command line.
    """

    script: str
    red: frozenset[str]
    cause: str
    append: str = ""


def _break(script: str, *red: str, cause: str) -> Break:
    return Break(script=script, red=frozenset(red), cause=cause)


def _file(path: str) -> str:
    return f"test_file[{path}]"


def _hygiene(what: str, script: str, named: str) -> Break:
    return _break(script, f"test_hygiene[{what}]", cause=named)


BREAKS: dict[str, Break] = {
    # Files.
    "modules-load file emptied": _break(f": >{LOAD}", _file(LOAD), *PERSISTED, cause=LOAD),
    "modules-load file removed": _break(f"rm {LOAD}", _file(LOAD), *PERSISTED, cause=LOAD),
    "module commented out": _break(
        f"sed -i 's/^ip_vs_sed$/#&/' {LOAD}", _file(LOAD), "test_module_persisted[ip_vs_sed]", cause=LOAD
    ),
    "file of a user changed": _break("echo x >>/etc/motd", _file("/etc/motd"), cause="/etc/motd"),
    "file of a user removed": _break("rm /etc/motd", _file("/etc/motd"), cause="/etc/motd"),
    "folder in place of a file": _break("rm /etc/motd; mkdir /etc/motd", _file("/etc/motd"), cause="/etc/motd"),
    "link to nothing": _break("ln -sf /nowhere /etc/motd", _file("/etc/motd"), cause="/etc/motd"),
    "mode": _break("chmod 666 /etc/motd", _file("/etc/motd"), cause="mode 0666"),
    "owner": _break("chown daemon /etc/motd", _file("/etc/motd"), cause="user daemon"),
    "group": _break("chgrp daemon /etc/motd", _file("/etc/motd"), cause="group daemon"),
    "module option removed": _break(f"rm {OPTIONS}", _file(OPTIONS), OPTION, cause=OPTIONS),
    "module option changed": _break(f"sed -i s/16/12/ {OPTIONS}", _file(OPTIONS), OPTION, cause=OPTIONS),
    "another file sets the module option": _break(
        "echo options ip-vs conn_tab_bits=12 >/etc/modprobe.d/zz.conf", OPTION, cause="conn_tab_bits=16"
    ),
    "sysctl file removed": _break(f"rm {SYSCTL}", _file(SYSCTL), AT_BOOT, cause=SYSCTL),
    "sysctl changed": _break(f"sed -i s/4096/1024/ {SYSCTL}", _file(SYSCTL), AT_BOOT, cause=SYSCTL),
    "a later file sets the sysctl": _break(
        "echo net.core.somaxconn=128 >/etc/sysctl.d/99-x.conf", AT_BOOT, cause="net.core.somaxconn"
    ),
    # Units.
    "unit is garbage": _break(f"echo garbage >{UNIT}", _file(UNIT), cause=UNIT),
    "unit removed": _break(f"rm {UNIT}", _file(UNIT), ENABLED, cause=UNIT),
    "unit masked": _break(f"ln -sf /dev/null {UNIT}", _file(UNIT), ENABLED, cause="masked"),
    "unit disabled": _break(
        "rm /etc/systemd/system/multi-user.target.wants/amigen-ready.service",
        ENABLED,
        cause="amigen-ready.service",
    ),
    "script of the unit removed": _break(f"rm {READY}", _file(READY), cause=READY),
    "script of the unit does nothing": _break(f"echo true >{READY}", _file(READY), cause=READY),
    "gate of kubelet removed": _break(f"rm {DROP_IN}", _file(DROP_IN), cause=DROP_IN),
    # Modules and kernels.
    "module deleted": _break(
        f"{KERNEL} && find . -name 'ip_vs_nq.ko*' -delete", "test_module_in_every_kernel[ip_vs_nq]", cause="ip_vs_nq"
    ),
    "module that others need deleted": _break(
        f"{KERNEL} && find . -name 'nf_conntrack.ko*' -delete", *IN_KERNEL, cause="nf_conntrack"
    ),
    "modules.dep emptied": _break(f"{KERNEL} && : >modules.dep", *IN_KERNEL, cause="no such module"),
    "second kernel without modules": _break(
        "mkdir /lib/modules/9.9.9 && cd /lib/modules/9.9.9 && touch modules.dep && echo kernel/x.ko >modules.builtin",
        *IN_KERNEL,
        cause="9.9.9",
    ),
    # Packages and the image's own records.
    "package removed": _break("dpkg --purge ipvsadm", "test_package[ipvsadm]", cause="the package ipvsadm"),
    "package half removed": _break(
        "dpkg --remove --force-all ipvsadm", "test_package[ipvsadm]", cause="the package ipvsadm"
    ),
    "hook has not run": _break("rm /var/lib/amigen/hooks/greet.sha256", "test_hook[greet]", cause="hook greet"),
    "another hook has run": _break(
        "echo 0 >/var/lib/amigen/hooks/greet.sha256", "test_hook[greet]", cause="hook greet"
    ),
    "release removed": _break(f"rm {RELEASE}", "test_release[proof]", cause=FOREIGN),
    "release cut short": _break(f"echo '{{' >{RELEASE}", "test_release[proof]", cause=FOREIGN),
    "release of another spec": _break(f'sed -i \'s/"proof"/"other"/\' {RELEASE}', "test_release[proof]", cause=FOREIGN),
    # Leftovers of the builder.
    "machine-id": _hygiene("machine-id", "echo 0123456789abcdef0123456789abcdef >/etc/machine-id", "machine-id"),
    "host key": _hygiene("host-keys", "echo x >/etc/ssh/ssh_host_rsa_key", "ssh_host_rsa_key"),
    "cloud-init instance": _hygiene(
        "cloud-init", "mkdir -p /var/lib/cloud/instances/i-1 && touch /var/lib/cloud/instances/i-1/x", "cloud/instances"
    ),
    "log": _hygiene("logs", "echo x >/var/log/dpkg.log", "dpkg.log"),
    "package list": _hygiene("package-cache", "echo x >/var/lib/apt/lists/x_Packages", "x_Packages"),
    "authorized key": _hygiene(
        "authorized-keys", "mkdir -p /root/.ssh && echo x >/root/.ssh/authorized_keys", "authorized_keys"
    ),
    "shell history": _hygiene("shell-history", "echo x >/root/.bash_history", ".bash_history"),
    "temporary file": _hygiene("temporary-files", "echo x >/var/tmp/script.sh", "script.sh"),
    "random seed": _hygiene("random-seed", "echo x >/var/lib/systemd/random-seed", "random-seed"),
    "hostname": _hygiene("hostname", "echo builder >/etc/hostname", "etc/hostname"),
    "name of an NVMe host": _hygiene("device-identity", "mkdir -p /etc/nvme && echo x >/etc/nvme/hostid", "hostid"),
    "kubelet's certificate": _hygiene(
        "kubelet-state", "mkdir -p /var/lib/kubelet/pki && echo x >/var/lib/kubelet/pki/kubelet.key", "kubelet.key"
    ),
    "lease": _hygiene("leases", "mkdir -p /var/lib/dhcp && echo x >/var/lib/dhcp/dhclient.leases", "dhclient.leases"),
    "core dump": _hygiene("dumps-and-stamps", "mkdir -p /var/crash && echo x >/var/crash/a.crash", "a.crash"),
    "copy of the accounts": _hygiene("account-backups", "cp /etc/shadow /etc/shadow-", "shadow-"),
}

# What only a boot shows; `red` is a part of what fails then.
BOOT_BREAKS: dict[str, Break] = {
    "module on the blacklist": _break(
        "echo blacklist ip_vs_sed >/etc/modprobe.d/site.conf",
        "test_module_loaded[ip_vs_sed]",
        cause="/etc/modprobe.d/site.conf:1 keeps a module from being loaded: 'blacklist ip_vs_sed'",
    ),
    "blacklist on the command line": Break(
        script="true",
        append="module_blacklist=ip_vs_sed",
        red=frozenset({"test_module_loaded[ip_vs_sed]"}),
        cause="the kernel command line keeps modules from being loaded: module_blacklist=ip_vs_sed",
    ),
    "module load masked": _break(
        "systemctl mask systemd-modules-load",
        "test_module_loaded[ip_vs_sed]",
        cause="systemd-modules-load.service is masked",
    ),
    "kernel locked": _break(
        # After what the boot itself needs, and before it would load ours.
        "cd /etc/systemd/system; mkdir systemd-modules-load.service.d\n"
        "printf '[Service]\nExecStartPre=/sbin/%s\nExecStartPre=/sbin/%s\n' 'modprobe -a virtio_net sr_mod isofs' "
        "'sysctl -w kernel.modules_disabled=1' >systemd-modules-load.service.d/lock.conf",
        "test_module_loaded[ip_vs_sed]",
        cause="kernel.modules_disabled is 1",
    ),
    "mount over the gate's script": _break(
        "echo 'tmpfs /usr/local/lib/amigen tmpfs defaults 0 0' >>/etc/fstab", _file(READY), cause=READY
    ),
    "mount over modules-load.d": _break(
        "echo 'tmpfs /etc/modules-load.d tmpfs defaults 0 0' >>/etc/fstab", _file(LOAD), cause=LOAD
    ),
}

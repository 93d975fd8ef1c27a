# Checks of an image of nftables-nodes on Amazon Linux 2023, before its first boot: nothing of the builder is left.
# Written by amigen 0.1.0; do not edit: change the spec and render again.
#
#   pytest --connection=chroot --hosts=FOLDER test_image.py
#   pytest --hosts=local:// --amigen-image-root=FOLDER test_image.py
#   pytest --hosts=ssh://USER@BUILDER --sudo --amigen-image test_image.py
#
# A node that runs has made its own host keys and logs: there they are skipped.
import pytest

from amigen.testing import explain

# What must not be there -> a command that lists what is, and why it matters. It runs in the folder of the image.
LEFTOVERS = {
    "machine-id": (
        "for id in etc/machine-id var/lib/dbus/machine-id; do if [ ! -L $id ] && [ -s $id ] && ! grep -qx uninitialized $id; then echo $id; fi; done",
        "all its nodes would be one machine to DHCP, journald and the cluster",
    ),
    "host-keys": (
        "find etc/ssh -maxdepth 1 -name 'ssh_host_*_key*' 2>/dev/null",
        "who has one node's key could pass for every other",
    ),
    "cloud-init": (
        "find var/lib/cloud/data var/lib/cloud/instance var/lib/cloud/instances var/lib/cloud/sem ! -type d 2>/dev/null",
        "cloud-init would take a new node for the builder and skip its user data",
    ),
    "logs": (
        "find var/log -type f -size +0 ! -name wtmp ! -name btmp ! -name lastlog ! -path 'var/log/amazon/*' ! -path 'var/log/audit/*' 2>/dev/null",
        "they tell of the builder, and hide what a node itself logs",
    ),
    "package-cache": (
        "find var/cache/apt/archives var/lib/apt/lists var/cache/dnf var/lib/dnf ! -type d -size +0 ! -name lock ! -name 'modulefailsafe*' 2>/dev/null",
        "it is old when a node starts, and costs disk on each",
    ),
    "authorized-keys": (
        "find root home -maxdepth 3 -path '*.ssh/authorized_keys*' -size +0 2>/dev/null",
        "the builder's key would open every node",
    ),
    "shell-history": (
        "find root home -maxdepth 2 ! -type d -size +0 '(' -name '.*_history' -o -name .lesshst -o -name .viminfo ')' 2>/dev/null",
        "it tells what was typed on the builder, secrets included",
    ),
    "temporary-files": (
        "find tmp var/tmp ! -type d ! -path '*/systemd-private-*' 2>/dev/null",
        "they are the builder's",
    ),
    "random-seed": (
        "find var/lib/systemd/random-seed var/lib/systemd/credential.secret boot/efi/loader/random-seed efi/loader/random-seed 2>/dev/null",
        "nodes that start from one seed may draw the same secrets",
    ),
    "hostname": (
        "if [ ! -L etc/hostname ] && [ -s etc/hostname ]; then echo etc/hostname; fi",
        "every node would begin with the builder's name",
    ),
    "device-identity": (
        "grep -ls '^InitiatorName=' etc/iscsi/initiatorname.iscsi; find etc/nvme/hostnqn etc/nvme/hostid var/lib/NetworkManager/secret_key var/lib/amazon/ssm/Vault var/lib/amazon/ssm/registration var/lib/snapd/device etc/lvm/devices/system.devices etc/udev/rules.d/70-persistent-net.rules var/lib/yum/uuid ! -type d 2>/dev/null",
        "its nodes would be one machine to storage, Systems Manager, snapd and IPv6 neighbours",
    ),
    "kubelet-state": (
        "find var/lib/kubelet/pki var/lib/kubelet/pods var/lib/kubelet/kubeconfig var/lib/kubelet/device-plugins var/lib/containerd/io.containerd.runtime.v2.task ! -type d 2>/dev/null; ls -d var/lib/kubelet/*_state 2>/dev/null",
        "a kubelet would begin with the builder's certificates, pods and reservations",
    ),
    "leases": (
        "find var/lib/dhcp var/lib/dhclient var/lib/NetworkManager -name '*.lease*' 2>/dev/null",
        "a node would ask for the builder's address",
    ),
    "dumps-and-stamps": (
        "find var/lib/systemd/coredump var/crash var/mail/ var/spool/mail var/lib/systemd/timers ! -type d ! -type l 2>/dev/null",
        "dumps and mail tell of the builder, and stamps make timers skip their first run",
    ),
    "account-backups": (
        "find etc -maxdepth 1 ! -type d '(' -name 'passwd-' -o -name 'shadow-' -o -name 'group-' -o -name 'gshadow-' -o -name 'subuid-' -o -name 'subgid-' ')'",
        "they hold the builder's accounts and password hashes",
    ),
}


@pytest.mark.before_first_boot
@pytest.mark.parametrize("what", LEFTOVERS)
def test_hygiene(host, image_root, what):
    command, why = LEFTOVERS[what]
    found = host.run(f"cd %s && {command}", image_root).stdout.split()
    assert not found, explain(
        expected=f"no {what} in the image: {why}",
        found=", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else ""),
        todo="scripts/hygiene.sh must be the last step of the build",
    )

#!/usr/bin/env bash
# Last step of an image build: removes what belongs to the builder, so that two nodes of this image are not twins.
# Written by amigen 0.1.0; do not edit. Do not run it on a node.
set -Eeuo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

if ((EUID != 0)); then
	exec sudo -n -- bash "$0"
fi

trap 'printf "amigen: FAILED: hygiene: a command ended with code %s in line %s\n" "$?" "$LINENO"' ERR

# Each of these is a folder of somebody's home, also of users that cloud-init made.
homes() {
	local home
	while IFS=: read -r _ _ _ _ _ home _; do
		if [[ $home == /root || $home == /home/* ]]; then printf '%s\n' "$home"; fi
	done </etc/passwd | sort -u
}

clean_homes() {
	local home
	while read -r home; do
		rm -f -- "$home"/.ssh/authorized_keys "$home"/.ssh/authorized_keys2 "$home"/.ssh/known_hosts \
			"$home"/.bash_history "$home"/.zsh_history "$home"/.python_history "$home"/.lesshst "$home"/.viminfo
	done < <(homes)
}

clean_identity() {
	# Empty, not absent: systemd then makes a new one at the next boot (machine-id(5)).
	: >/etc/machine-id
	if [[ -e /var/lib/dbus/machine-id && ! -L /var/lib/dbus/machine-id ]]; then rm -f /var/lib/dbus/machine-id; fi
	rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
	# Stopped now, it does not save a seed at shutdown.
	stop_units systemd-random-seed.service
	rm -f /var/lib/systemd/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed /var/lib/systemd/credential.secret
	if [[ -s /etc/hostname ]]; then : >/etc/hostname; fi
	rm -f /var/lib/dhcp/*.lease* /var/lib/dhclient/*.lease* /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key
	# Names of the machine to storage. nvme-cli then takes the machine's own UUID.
	rm -f /etc/nvme/hostnqn /etc/nvme/hostid
	# open-iscsi's words for a name that is made at its next start.
	if [[ -s /etc/iscsi/initiatorname.iscsi ]]; then echo GenerateName=yes >/etc/iscsi/initiatorname.iscsi; fi
	# Disks and network cards of the builder, and its name to repositories.
	rm -f /etc/lvm/devices/system.devices /etc/udev/rules.d/70-persistent-net.rules /var/lib/yum/uuid
	# The registration of the SSM agent. It runs on: the build may come through it.
	rm -rf /var/lib/amazon/ssm/Vault /var/lib/amazon/ssm/registration
	# The serial and key of this snapd to the store.
	rm -rf /var/lib/snapd/device/*
}

# What a kubelet or a containerd that the builder started has made of this machine. Images that containerd has stay: EKS
# images bring some on purpose.
clean_kubelet() {
	stop_units kubelet.service containerd.service snap.kubelet-eks.daemon.service
	rm -rf /var/lib/kubelet/pki /var/lib/kubelet/pods /var/lib/kubelet/*_state /var/lib/kubelet/kubeconfig \
		/var/lib/kubelet/device-plugins/* /var/lib/containerd/io.containerd.runtime.v2.task/* /var/log/pods /var/log/containers
}

# Copies that useradd and passwd leave. The sudoers file that cloud-init made stays: the build needs it until the machine
# is off, and cloud-init writes the same on a node.
clean_users() {
	rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
}

# Timer stamps would make a new node skip its first runs; dumps and mail are the builder's.
clean_state() {
	rm -f /var/lib/systemd/timers/stamp-*
	rm -rf /var/lib/systemd/coredump/* /var/crash/* /var/mail/* /var/spool/mail/*
}

clean_cloud_init() {
	if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
	rm -rf /var/lib/cloud/data /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/sem
	rm -f /etc/netplan/50-cloud-init.yaml
}

clean_packages() {
	apt-get clean
	find /var/lib/apt/lists -mindepth 1 -delete
}

# In a chroot there is nothing to stop.
stop_units() {
	systemctl stop "$@" 2>/dev/null || true
}

clean_logs() {
	# These would write of the shutdown; journald goes on in memory.
	stop_units rsyslog.service syslog.socket systemd-update-utmp.service
	journalctl --relinquish-var 2>/dev/null || true
	# Emptied, not removed: a daemon that holds one open goes on writing to it.
	find /var/log -type f ! -path '/var/log/journal/*' -exec truncate -s 0 -- {} +
	rm -rf /var/log/journal/*
	find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
}

# The first run on a node of this image is told from a later one; a cluster that the builder joined is none of theirs.
mark_image() {
	rm -f /var/lib/amigen/joined.sha256
	if [[ -d /var/lib/amigen ]]; then : >/var/lib/amigen/baked; fi
}

clean_temporary() {
	rm -f /run/amigen/packages.log
	# The script itself may stand there, and is read while it runs: only what is not it.
	find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -samefile "$0" -exec rm -rf -- {} +
}

main() {
	cd /
	clean_packages
	clean_cloud_init
	clean_temporary
	clean_homes
	clean_identity
	clean_kubelet
	clean_users
	clean_state
	clean_logs
	mark_image
	sync
	printf 'amigen: the image is clean\n'
}

main

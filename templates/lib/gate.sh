# Until the next boot, no kubelet starts before there is a gate. What runs goes on.
hold_units() {
	local unit path
	[[ -d /run/systemd/system ]] || return 0
	for unit in "${gated_units[@]}"; do
		path=systemd/system/$unit.d/10-amigen-ready.conf
		[[ ! -e /etc/$path && ! -s /run/$path ]] || continue
		if ! mkdir -p "/run/${path%/*}" || ! printf %s "$drop_in" >"/run/$path"; then fail "cannot write /run/$path: not root?"; fi
	done
	read_units
}

read_units() {
	# A killed run may have written them.
	[[ ! -d /run/systemd/system || $(systemctl show -p NeedDaemonReload amigen-ready "${gated_units[@]}") != *=yes* ]] || systemctl daemon-reload
}

# Jobs in the queue stay there.
stop_gate() {
	[[ -d /run/systemd/system ]] || return 0
	systemctl stop --job-mode=ignore-requirements amigen-ready.service 2>/dev/null || true
	rm -rf /run/amigen-ready
}

# After a failure: what runs goes on; what crash-loops does not run.
close_gate() {
	local unit before now
	[[ -d /run/systemd/system ]] || return 0
	for unit in "${gated_units[@]}"; do
		[[ $(systemctl is-active "$unit") == activ* ]] || continue
		before=$(systemctl show -p MainPID -p NRestarts "$unit")
		sleep 3
		now=$(systemctl show -p MainPID -p NRestarts "$unit")
		if [[ "$now " == *NRestarts=[01][[:space:]]* || ($now == "$before" && "$now " != *MainPID=0[[:space:]]*) ]]; then
			log "$unit runs and is left alone; after a reboot it waits for a run that ends well"
			return
		fi
	done
	stop_gate
}

install_gate() {
	local unit wants=/etc/systemd/system/multi-user.target.wants
	step='install the gate'
	# The gate of amigen 0.1 is open while its unit is active.
	if [[ -d /run/systemd/system ]] && systemctl is-active -q amigen-ready; then mkdir -p /run/amigen-ready; fi
	write_gate
	for unit in "${gated_units[@]}"; do
		put_file "/etc/systemd/system/$unit.d/10-amigen-ready.conf" 644 root:root "$drop_in"
	done
	if [[ ! -L $wants/amigen-ready.service ]]; then
		unfinished
		if ! mkdir -p "$wants" || ! ln -sft "$wants" ../amigen-ready.service; then fail 'cannot enable amigen-ready.service'; fi
		changes=$((changes + 1))
	fi
	read_units
}

open_gate() {
	[[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	step='open the gate'
	if ((changes == 0)) && systemctl is-active -q amigen-ready; then return 0; fi
	bash /usr/local/lib/amigen/ready || fail 'the node is not ready; the line above says why'
	systemctl restart amigen-ready
}

# At each boot amigen-ready.service judges the node; the drop-in holds kubelet until then.
install_gate() {
	local unit
	for unit in "${gated_units[@]}"; do
		put_file "/etc/systemd/system/$unit.d/10-amigen-ready.conf" 644 root:root "$drop_in"
	done
	# systemd reads all of it, where it runs.
	systemctl -q enable amigen-ready
}

open_gate() {
	[[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} && ($changes != 0 || ! -d /run/amigen-ready) ]] || return 0
	systemctl restart amigen-ready || fail "$(bash /usr/local/lib/amigen/ready 2>&1)"
}

# A kubelet that runs goes on; one that was started again less than 30 s ago crash-loops.
close_gate() {
	local unit since dir
	[[ -d /run/systemd/system ]] || return 0
	for unit in "${gated_units[@]}"; do
		since=$(systemctl show -P ActiveEnterTimestampMonotonic "$unit")
		if systemctl -q is-active "$unit" && [[ $(systemctl show -P NRestarts "$unit") == 0 || $((since / 1000000 + 30)) -lt $(uptime) ]]; then
			log "$unit runs, and may be started again until the next boot"
			mkdir -p /run/amigen-ready
			return
		fi
		# Where the gate could not be installed.
		dir=/run/systemd/system/$unit.d
		mkdir -p "$dir" && printf %s "$drop_in" >"$dir/10-amigen-ready.conf"
	done
	systemctl daemon-reload
	# Jobs in the queue stay there.
	systemctl stop --job-mode=ignore-requirements amigen-ready 2>/dev/null || :
	rm -rf /run/amigen-ready
}

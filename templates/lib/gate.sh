# FOLDER: drop-ins ask ready before kubelet starts; a running one goes on.
hold() {
	for unit in "${units[@]}"; do put_file "$1/systemd/system/$unit.d/10-amigen-ready.conf" 644 "$drop_in"; done
	# One that crash-loops is never 30 s old.
	! pgrep -xO 30 kubelet >/dev/null || touch /run/amigen/open
}

open_gate() {
	[[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	rm -f /run/amigen/open
	# A unit that just asked is noted by then.
	sleep 1
	systemctl restart amigen-ready || fail "$(bash /usr/local/lib/amigen/ready 2>&1)"
}

# A node that was ready and not changed stays so.
close_gate() {
	[[ -d /run/systemd/system && ! -e $release ]] || return 0
	(set -e && hold /run)
	systemctl daemon-reload
	[[ ! -e /run/amigen/open ]] || log 'kubelet may start again until the next boot'
}

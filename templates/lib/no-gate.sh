# The spec says `gate: false`: the gate of an image or of an earlier spec is removed.
remove_gate() {
	if [[ $(rm -fv {/etc,/run}/systemd/system/*.service.d/10-amigen-ready.conf) && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}
close_gate() { :; }

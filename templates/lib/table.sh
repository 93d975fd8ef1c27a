# BITS: nothing sets another size; a table of another size is made anew where nothing uses it.
size_table() {
	local now line users
	step='size the table'
	while read -r line; do
		[[ $line == *"=$1" ]] || fail "$line, the spec wants $1: remove one of them"
	done < <(table_at_boot)
	[[ -z ${AMIGEN_NO_KERNEL:-} && -d /sys/module/ip_vs ]] || return 0
	# From Linux 7.1 on, /proc/net/ip_vs shows the present size.
	read -r now </sys/module/ip_vs/parameters/conn_tab_bits
	[[ $now != "$1" ]] || return 0
	mapfile -t users < <(ls /sys/module/ip_vs/holders)
	if modprobe -r -- "${users[@]}" ip_vs 2>/dev/null; then
		log "unloaded ip_vs (it had conn_tab_bits=$now), to load it with $1"
	else
		log "WARNING: ip_vs is in use with conn_tab_bits=$now; $1 holds after the next reboot"
	fi
}

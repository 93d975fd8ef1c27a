# settle_option MODULE OPTION VALUE: nothing sets another value; a module that is loaded with one is loaded anew where
# nothing uses it.
settle_option() {
	local now line users=()
	step="set $2"
	while read -r line; do
		[[ $line == *"=$3" ]] || fail "$line, and the spec wants $2=$3: remove one of them"
	done < <(option_settings "$1" "$2")
	[[ -z ${AMIGEN_NO_KERNEL:-} && -r /sys/module/$1/parameters/$2 ]] || return 0
	# The parameter, and not /proc/net/ip_vs, which from Linux 7.1 on shows the table's present size.
	read -r now <"/sys/module/$1/parameters/$2"
	[[ $now != "$3" ]] || return 0
	if [[ -d /sys/module/$1/holders ]]; then mapfile -t users < <(ls "/sys/module/$1/holders"); fi
	if modprobe -r -- "${users[@]}" "$1" 2>/dev/null; then
		log "unloaded $1 (it had $2=$now), to load it with $2=$3"
	else
		log "WARNING: $1 is in use with $2=$now; $2=$3 holds after the next reboot"
	fi
}

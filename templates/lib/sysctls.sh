# /proc/sys/PATH VALUE
set_sysctl() {
	local now said
	said=$(sysctl_at_boot "$@")
	[[ -z $said ]] || fail "$said: remove one of them"
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	[[ -e $1 ]] || fail "this kernel has no $1: does it need a module?"
	read -r now <"$1" || :
	[[ ${now//$'\t'/ } != "$2" ]] || return 0
	printf '%s\n' "$2" 2>/dev/null >"$1" || fail "the kernel does not take \"$2\" for $1"
	((changes += 1))
	log "set $1 to $2"
}

# require_last PATH VALUE: of the files that are read after ours at boot, the last that sets it has the say (sysctl.d(5)).
require_last() {
	local file name key value rest seen=/ last='' found='' where=''
	for file in {/etc,/run,/usr/local/lib,/usr/lib}/sysctl.d/*.conf; do
		name=${file##*/}
		# Of files with one name only the first folder's counts, also where it is masked.
		[[ $name > 90-amigen.conf && $seen != */"$name"/* ]] || continue
		seen+=$name/
		[[ -f $file ]] || continue
		while IFS='=' read -r key value || [[ -n $key ]]; do
			key=${key//[[:space:]]/}
			key=${key#-}
			rest=${key#*[./]}
			# a.b/c is a/b.c; where the first of both is a slash, slashes separate.
			if [[ $key == *."$rest" ]]; then
				key=${key//\//:}
				key=${key//./\/}
				key=${key//:/.}
			fi
			# A key may be a pattern.
			# shellcheck disable=SC2053
			if [[ $1 == /proc/sys/$key && ! $name < $last ]]; then
				last=$name where=$file
				read -r found <<<"${value//$'\t'/ }"
			fi
		done <"$file"
	done
	if [[ -n $where && $found != "$2" ]]; then
		fail "at boot, $where sets $1 to \"$found\", after /etc/sysctl.d/90-amigen.conf, and the spec wants \"$2\": remove one of them"
	fi
}

# set_sysctl /proc/sys/PATH VALUE
set_sysctl() {
	local now=''
	require_last "$@"
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	[[ -e $1 ]] || fail "this kernel has no $1: does it need a module?"
	read -r now <"$1" || true
	[[ ${now//$'\t'/ } != "$2" ]] || return 0
	printf '%s\n' "$2" 2>/dev/null >"$1" || fail "the kernel does not take \"$2\" for $1"
	changes=$((changes + 1))
	log "set $1 to $2"
}

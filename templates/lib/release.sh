# write_release JSON PACKAGE...: JSON without its end.
write_release() {
	local text=$1 name packages='' kernel=''
	shift
	if [[ $(cat "$release" 2>/dev/null) != "$text,"* ]]; then
		if declare -F releasever >/dev/null; then text+=$',\n  "releasever": "'$(releasever)\"; fi
		for name in "$@"; do packages+="${packages:+, }\"$name\": \"${installed[$name]}\""; done
		[[ -n ${AMIGEN_NO_KERNEL:-} ]] || kernel=$(uname -r)
		TZ=UTC0 printf -v text '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%(%FT%TZ)T"\n}\n' "$text" "$kernel" "$packages" -1
		put_file "$release" 644 root:root "$text"
	fi
	rm -f "$unfinished"
}

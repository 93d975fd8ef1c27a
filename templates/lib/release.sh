# write_release JSON PACKAGE...: JSON without its end.
write_release() {
	local head=$1 old=$release there='' name packages='' kernel=''
	shift
	[[ -e $old ]] || old=$release.unfinished
	if ((changes == 0)) && [[ -f $old && $(<"$old") == "$head,"* ]]; then
		[[ $old == "$release" ]] || mv -fT "$old" "$release"
		return 0
	fi
	if declare -F releasever >/dev/null; then head+=",
	\"releasever\": \"$(releasever)\""; fi
	for name in "$@"; do packages+="${packages:+, }\"$name\": \"${installed[$name]:-}\""; done
	[[ -n ${AMIGEN_NO_KERNEL:-} ]] || kernel=$(uname -r)
	TZ=UTC0 printf -v there '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%(%FT%TZ)T"\n}\n' "$head" "$kernel" "$packages" -1
	put_file "$release" 644 root:root "$there"
	rm -f "$release.unfinished"
}

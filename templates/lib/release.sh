# write_release JSON PACKAGE...: JSON without its end.
write_release() {
	local text=$1 name packages='' kernel=''
	shift
	if [[ $(cat "$release" 2>/dev/null) != "$text,"* ]]; then
		text+=$(about_dnf 2>/dev/null) || :
		for name in "$@"; do packages+="${packages:+, }\"$name\": \"$(version_of "$name")\""; done
		[[ -n ${AMIGEN_NO_KERNEL:-} ]] || kernel=$(uname -r)
		TZ=UTC0 printf -v text '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%(%FT%TZ)T"\n}\n' "$text" "$kernel" "$packages" -1
		put_file "$release" 644 root:root "$text"
	fi
	rm -f "$unfinished"
}

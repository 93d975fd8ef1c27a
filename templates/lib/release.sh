# write_release JSON PACKAGE...: JSON without its end.
write_release() {
	local text=$1 name packages=''
	shift
	if [[ $(cat "$release" 2>/dev/null) != "$text,"* ]]; then
		for name in "$@"; do packages+="${packages:+, }\"$name\": \"$(version_of "$name")\""; done
		put_file "$release" 644 root:root "$text,
  \"releasever\": \"$(cat /etc/dnf/vars/releasever 2>/dev/null || rpm -q --qf '%{VERSION}' system-release)\",
  \"kernel\": \"$([[ ${AMIGEN_NO_KERNEL:-} ]] || uname -r)\",
  \"packages\": {$packages},
  \"time\": \"$(date -u +%FT%TZ)\"
}
"
	fi
	rm -f "$unfinished"
}

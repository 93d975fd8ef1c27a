# JSON PACKAGE...: JSON without its end.
write_release() {
	packages=''
	for name in "${@:2}"; do packages+="${packages:+, }\"$name\": \"$(version_of "$name")\""; done
	[[ $(cat "$release" 2>/dev/null) == "$1,"* ]] || put_file "$release" 644 "$1,
  \"releasever\": \"$(cat /etc/dnf/vars/releasever 2>/dev/null || rpm -q --qf '%{VERSION}' system-release)\",
  \"kernel\": \"$([[ ${AMIGEN_NO_KERNEL:-} ]] || uname -r)\",
  \"packages\": {$packages},
  \"time\": \"$(date -u +%FT%TZ)\"
}
"
}

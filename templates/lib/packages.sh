# The first cause and the last line.
why_in() {
	{
		grep -m 1 -oE "($causes|No space).*" "$1"
		tail -n 1 "$1"
	} | uniq | sed '$!N;s/\n/; /'
}

# ensure_packages SECONDS NAME[=VERSION]...: network, mirror and lock may need time.
ensure_packages() {
	local limit=$1 end=$(($(uptime) + $1)) code delay=2 why='no message' out=/run/amigen/packages.log
	shift
	find_missing "$@" || return 0
	change "installing ${missing[*]}"
	while
		code=0
		install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
		# It also fails for an unrelated source: what counts is what is installed.
		find_missing "$@"
	do
		((code)) || fail "installed, but there is no package ${missing[*]}: is that its name?"
		tail -n 12 "$out" | grep '' | sed 's/^/  | /' || :
		# One that was stopped may have said nothing.
		why=$(why_in "$out" | grep . || echo "$why")
		((end - $(uptime) > delay + 10)) || fail "cannot install ${missing[*]} within $limit s: $why"
		log "that did not work ($why); again in $delay s"
		bounded 0 sleep "$delay"
		((delay > 20)) || ((delay *= 2))
	done
}

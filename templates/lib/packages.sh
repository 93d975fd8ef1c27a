declare -A installed=()

# Sets `missing` to those of NAME[=VERSION]... that are not installed.
find_missing() {
	local name version
	missing=()
	for name in "$@"; do
		version=$(version_of "${name%%=*}") || :
		installed[${name%%=*}]=$version
		[[ -n $version && ${name#*=} == @("$name"|"$version") ]] || missing+=("$name")
	done
}

# The first cause and the last line, else the reason before.
why_in() {
	{
		grep -m 1 -oE '(Failed to fetch|Release file|The repository|Curl error|Status code|Could not get lock|No space|dpkg: error|RPM: error).*' "$1" || :
		tail -n 1 "$1" | grep '' || echo "${why:-no message}"
	} | uniq | sed '$!N;s/\n/; /'
}

# ensure_packages SECONDS NAME[=VERSION]...: tries again; network, mirror and lock may need time.
ensure_packages() {
	local limit=$1 end code delay=2 why out=/run/amigen/packages.log
	shift
	find_missing "$@"
	((${#missing[@]})) || return 0
	change "install ${missing[*]}"
	log "installing ${missing[*]}"
	end=$(($(uptime) + limit))
	while :; do
		code=0
		install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
		# It also fails for an unrelated source: what counts is what is installed.
		find_missing "$@"
		((${#missing[@]})) || return 0
		tail -n 12 "$out" | grep '' | sed 's/^/  | /' || :
		((code)) || fail "installed, but there is no package ${missing[*]}: is that its name?"
		why=$(why_in "$out")
		((code != 124 && code != 137)) || why="it was still at work when its time was over ($why)"
		((end - $(uptime) > delay + 10)) || fail "cannot install ${missing[*]} within $limit s: $why"
		log "that did not work ($why); again in $delay s"
		bounded 0 sleep "$delay"
		((delay > 20)) || delay=$((delay * 2))
	done
}

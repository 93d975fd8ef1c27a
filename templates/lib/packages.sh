declare -A installed=()

# Sets `missing` to those of NAME[=VERSION]... that are not installed.
find_missing() {
	local name version
	installed=() missing=()
	while read -r name version; do installed[$name]=$version; done < <(list_installed "${@%%=*}" 2>/dev/null)
	for name in "$@"; do
		version=${installed[${name%%=*}]:-}
		[[ -n $version && ${name#*=} == @("$name"|"$version") ]] || missing+=("$name")
	done
}

# Sets `left` to the seconds until `deadline`; a first boot may set the clock.
time_left() {
	read -r left _ </proc/uptime
	left=$((deadline - ${left%.*}))
}

# The first cause and the last error in the output.
why_in() {
	local cause error
	cause=$(grep -m 1 -oE '(Failed to fetch|Release file|The repository|Curl error|Status code|Could not get lock|No space|dpkg: error|RPM: error).*' "$1") || cause=''
	error=$(grep -E '^(E:|[Ee]rror)' "$1" | tail -n 1) || error=$(tail -n 1 "$1")
	printf '%.400s' "$cause${cause:+; }${error:-no message}"
}

# ensure_packages SECONDS NAME[=VERSION]...: tries again; network, mirror and lock may need time.
ensure_packages() {
	local deadline=0 left missing code delay=2 why='' out=$run_dir/packages.log limit=$1
	shift
	find_missing "$@"
	((${#missing[@]})) || return 0
	step="install ${missing[*]}"
	log "installing ${missing[*]}"
	unfinished
	time_left
	deadline=$((limit - left))
	while :; do
		code=0
		install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
		# It also fails for an unrelated source or package: what counts is what is installed.
		find_missing "$@"
		((${#missing[@]})) || break
		tail -n 12 "$out" | grep '' | sed 's/^/  | /' >&7 || true
		((code)) || fail "installed, but the package database has no ${missing[*]}: is that the package's name?"
		((code == 124 || code == 137)) || why=$(why_in "$out")
		# Without a last word, the reason of the try before says more.
		((code != 124 && code != 137)) || why="it was still at work when its time was over ($(tail -n 1 "$out" | grep '' || echo "${why:-it said nothing}"))"
		time_left
		((left > delay + 10)) || fail "cannot install ${missing[*]} within $limit s: $why"
		log "that did not work ($why); again in $delay s"
		bounded 0 sleep "$delay"
		((delay > 20)) || delay=$((delay * 2))
	done
	changes=$((changes + 1))
}

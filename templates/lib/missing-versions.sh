# Sets `missing` to those of NAME[=VERSION]... that are not installed.
find_missing() {
	local name version
	missing=()
	for name in "$@"; do
		version=$(version_of "${name%%=*}") || :
		[[ $version && ${name#*=} == @("$name"|"$version") ]] || missing+=("$name")
	done
}

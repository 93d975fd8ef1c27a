# find_missing NAME[=VERSION]...: sets `missing`; fails where all are installed.
find_missing() {
	local name version
	missing=()
	for name in "$@"; do
		version=$(version_of "${name%%=*}") || :
		[[ $version && ${name#*=} == @("$name"|"$version") ]] || missing+=("$name")
	done
	((${#missing[@]}))
}

# Sets `missing`; fails where all are installed.
find_missing() {
	local name
	missing=()
	for name in "$@"; do [[ $(version_of "$name") ]] || missing+=("$name"); done
	((${#missing[@]}))
}

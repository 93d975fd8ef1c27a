# Sets `missing` to those that are not installed.
find_missing() {
	local name
	missing=()
	for name in "$@"; do [[ $(version_of "$name") ]] || missing+=("$name"); done
}

become_root() {
	local sudo why='sudo asks for a password'
	((EUID)) || return 0
	sudo=$(command -v sudo) || why='there is no sudo on this machine'
	[[ -f $0 ]] || why='this script was not run as a file'
	if [[ -n $sudo && -f $0 ]] && "$sudo" -n true 2>/dev/null; then
		exec "$sudo" -n -- env AMIGEN_NO_KERNEL="${AMIGEN_NO_KERNEL:-}" bash "$0"
	fi
	echo "amigen: FAILED: this needs root, and $why"
	exit 1
}

release=/etc/amigen/release.json state=/var/lib/amigen changes=0 reason='' step=start new=''

# To 7: callers may redirect stdout.
log() {
	printf 'amigen: %s\n' "$*" >&7 || :
}

fail() {
	reason=$*
	exit 1
}

# WHAT: before a change. Without release.json a node is not ready.
change() {
	step=$1
	((changes += 1))
	log "$step"
	rm -f "$release"
}

# Since boot: the clock may be set.
uptime() {
	cut -d. -f1 /proc/uptime
}

# SECONDS COMMAND...: bash handles a signal while it waits.
bounded() {
	timeout -k 30 "$@" 8>&- &
	wait "$!"
}

on_exit() {
	local code=$?
	((code)) || return 0
	trap '' HUP INT TERM
	set +e
	jobs -pr | xargs -r kill
	wait
	rm -rf "$new"
	close_gate
	log "FAILED: ${reason:-$step: a command ended with code $code}"
	exit "$code"
}

begin() {
	# stdout may be closed or lose its reader.
	{ exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
	trap : PIPE
	trap on_exit EXIT
	trap 'reason="stopped by a signal"; exit 143' HUP INT TERM
	# An image's record must not open a new node's gate.
	[[ ! -e $state/baked ]] || rm -f "$release" "$state/baked"
	mkdir -p /run/amigen "$state" || fail "cannot make $state: no root, full or read-only?"
	exec 8>/run/amigen/lock
	flock -w 900 8 || fail 'another run is at work'
	os=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}") || :
	[[ $os == "$1" ]] || fail "this script is for $1, not $os"
}

# PATH MODE TEXT: all of it or nothing.
put_file() {
	path=$1
	[[ -f $path && $(stat -c %a:%u:%g "$path") == "$2:0:0" && $(<"$path") == "${3%$'\n'}" ]] && return
	change "writing $path"
	# Modules of others are still loaded.
	[[ $path != /etc/modules-load.d/* || ! -f $path ]] || grep -q 'y amigen, ' "$path" || mv -v --backup=t "$path" "${path%.conf}.before-amigen.conf" >&7
	mkdir -p "${path%/*}"
	rm -f "$path".amigen.*
	new=$(mktemp "$path.amigen.XXXXXX")
	printf %s "$3" >"$new"
	chmod "$2" "$new"
	sync "$new"
	mv -fT "$new" "$path"
}

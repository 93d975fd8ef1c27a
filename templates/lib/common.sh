release=/etc/amigen/release.json state_dir=/var/lib/amigen
unfinished=$state_dir/unfinished changes=0 reason='' step=start

# To 7: what calls it may write into a file.
log() {
	printf 'amigen: %s\n' "$*" >&7 || :
}

fail() {
	reason=$*
	exit 1
}

# change WHAT: before each change. Without its release, a node is not ready, after a reboot too.
change() {
	step=$1
	((changes += 1))
	log "$step"
	rm -f "$release"
}

# Seconds since boot: the clock may be set.
uptime() {
	cut -d. -f1 /proc/uptime
}

# bounded SECONDS COMMAND...: bash handles signals while it waits; timeout(1) ends all of the command.
bounded() {
	timeout -k 30 "$@" 8>&- &
	wait "$!"
}

on_exit() {
	local code=$?
	((code)) || return 0
	trap '' HUP INT TERM EXIT
	set +e
	jobs -pr | xargs -r kill
	wait
	# A node that was ready stays so where nothing was changed.
	[[ -e $release && ! -e $unfinished ]] || close_gate
	log "FAILED: ${reason:-$step: a command ended with code $code}"
	exit "$code"
}

# begin OS: of /etc/os-release.
begin() {
	# stdout may be closed, or lose its reader.
	{ exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
	trap : PIPE
	trap on_exit EXIT
	trap 'reason="stopped by a signal"; exit 143' HUP INT TERM
	mkdir -p /run/amigen "$state_dir" || fail "cannot make $state_dir: no root, disk full or read-only?"
	exec 8>/run/amigen/lock
	flock -w 900 8 || fail 'another run has held the lock for 900 s'
	# What an image recorded must not open the gate of a new node.
	if mv -f "$state_dir/baked" "$unfinished" 2>/dev/null; then close_gate; fi
	os=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}")
	[[ $os == "$1" ]] || fail "this script is for $1; this machine is $os"
}

# put_file PATH MODE OWNER:GROUP TEXT [DECODER]: all of it or nothing; keeps a copy of what was there.
put_file() {
	local path=$1 kept=$state_dir/kept$1 new=${1%/*}/.amigen.new decoder=${5:-cat}
	if [[ -f $path && $(sha256sum <"$path") == $(printf %s "$4" | $decoder | sha256sum) && $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}") ]]; then return; fi
	change "writing $path"
	if [[ -f $path || -L $path ]]; then
		# What others load at boot is still loaded.
		[[ $path != /etc/modules-load.d/@(ipvs|amigen).conf ]] || grep -qs amigen "$path" || kept=${path%.conf}.before-amigen.conf
		if ! (umask 077 && mkdir -p "${kept%/*}") || ! cp -aT --backup=numbered "$path" "$kept"; then
			rm -f "$kept"
			fail "cannot keep a copy of $path: is the disk full?"
		fi
		log "kept the existing $path as $kept"
	fi
	# Nobody but root can replace the file in the new folder.
	rm -rf "$new"
	if ! (mkdir -p "${path%/*}/" && mkdir -m 700 "$new" && cd "$new" && [[ -O . ]] && printf %s "$4" | $decoder >file &&
		chown "$3" file && chmod "$2" file && sync file && mv -fT file "$path"); then
		rm -rf "$new"
		fail "cannot write $path: a folder, disk full, read-only, or no such user as $3?"
	fi
	rmdir "$new"
}

finish() {
	if ((changes)); then log "ready: $changes changes"; else log 'nothing to do: no package manager was called'; fi
}

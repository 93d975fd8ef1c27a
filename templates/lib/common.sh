release=/etc/amigen/release.json run_dir=/run/amigen state_dir=/var/lib/amigen
changes=0 begun='' step=start reason=''

log() {
	printf 'amigen: %s\n' "$*" >&7 || true
}

fail() {
	reason=$*
	exit 1
}

# bounded SECONDS COMMAND...: bash handles a signal while it waits; timeout(1) ends all of the command.
bounded() {
	timeout -k 30 "$@" 8>&- &
	wait "$!"
}

# Before each change: the gate stays closed at later boots until a run has written release.json.
unfinished() {
	begun=1
	# A move works on a full disk, too.
	[[ ! -e $release ]] || mv -fT "$release" "$release.unfinished" || rm -f "$release" || true
}

on_exit() {
	local code=$?
	((code)) || return 0
	trap '' HUP INT TERM EXIT
	set +e
	jobs -pr | xargs -r kill
	wait
	((code < 129)) || reason=${reason:-stopped by a signal}
	reason=${reason:-"$step: a command ended with code $code"}
	echo "$reason" 2>/dev/null >"$run_dir/failed"
	[[ -z $begun ]] || unfinished
	close_gate
	log "FAILED: $reason"
	exit "$code"
}

begin() {
	[[ -c /dev/null ]] || { rm -f /dev/null && mknod -m 666 /dev/null c 1 3; } || true
	# stdout may be closed, or lose its reader.
	{ exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
	trap : PIPE
	trap on_exit EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	hold_units
	mkdir -p "$run_dir" "$state_dir" || fail "cannot make $run_dir and $state_dir: not root, disk full or read-only?"
	exec 8>"$run_dir/lock"
	flock -w 900 8 &
	wait "$!" || fail 'another run of amigen has held the lock for 900 s'
	rm -f "$run_dir/failed"
	# What an image recorded must not open the gate of a new node.
	if [[ -e $state_dir/baked ]]; then
		unfinished
		stop_gate
	fi
}

require_platform() {
	local ID='' VERSION_ID=''
	# shellcheck source=/dev/null
	[[ -r /etc/os-release ]] && . /etc/os-release
	[[ "$ID $VERSION_ID" == "$1" ]] || fail "this script is for $1; this machine is ${ID:-unknown} $VERSION_ID"
}

# put_file PATH MODE OWNER:GROUP TEXT [DECODER...]: the whole file or nothing; backs up a file of others.
put_file() {
	local path=$1 quoted sum old='' kept=$state_dir/kept$1 list=$state_dir/written new=${1%/*}/.amigen.new decoder=("${@:5}")
	((${#decoder[@]})) || decoder=(cat)
	printf -v quoted %q "$path"
	sum=$(printf %s "$4" | "${decoder[@]}" | sha256sum)
	[[ ! -f $path ]] || old=$(sha256sum <"$path")
	[[ $old != "$sum" || ! $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}" 2>/dev/null) ]] || return 0
	step="write $path"
	unfinished
	[[ ! -d $path || -L $path ]] || fail "$path is a folder; remove it"
	if [[ -e $path || -L $path ]] && ! grep -qsxF "${old% -}$quoted" "$list"; then
		# It stays in effect there.
		[[ $path != /etc/modules-load.d/*.conf ]] || kept=${path%.conf}.before-amigen.conf
		if ! (umask 077 && mkdir -p "${kept%/*}") || ! cp -aT --backup=numbered "$path" "$kept"; then
			rm -f "$kept" || true
			fail "cannot keep a copy of $path: is the disk full?"
		fi
		log "kept the existing $path as $kept"
	fi
	# A record that a full disk cut short ends before the next. Nobody but root can replace the file in the new folder.
	rm -rf "$new"
	if ! { grep -qsxF "${sum% -}$quoted" "$list" || printf '\n%s' "${sum% -}$quoted" >>"$list"; } || ! mkdir -p "${path%/*}/" || ! mkdir -m 700 "$new" ||
		! (cd "$new" && [[ -O . ]] && printf %s "$4" | "${decoder[@]}" >file && chown "$3" file && chmod "$2" file && sync file) ||
		! mv -fT "$new/file" "$path"; then
		rm -rf "$new" || true
		fail "cannot write $path: disk full, read-only, or no such user as $3?"
	fi
	rmdir "$new"
	changes=$((changes + 1))
	log "wrote $path"
}

finish() {
	rm -f "$state_dir/baked"
	if ((changes)); then log "ready: $changes changes"; else log "$1"; fi
}

# PATH MODE OWNER:GROUP TEXT [DECODER]: all of it or nothing; keeps a copy of what was there.
replace_file() {
	local path=$1 kept=$state/kept$1 decoder=${5:-cat}
	[[ -f $path && $(sha256sum <"$path") == $(printf %s "$4" | $decoder | sha256sum) && $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}") ]] && return
	change "writing $path"
	if [[ -f $path || -L $path ]]; then
		if ! (umask 077 && mkdir -p "${kept%/*}" && cp -aT --backup=t "$path" "$kept"); then
			rm -f "$kept" || :
			fail "cannot keep a copy of $path: is the disk full?"
		fi
		log "kept the existing $path as $kept"
	fi
	# Nobody but root can replace the file in the new folder.
	rm -rf "${path%/*}"/.amigen.*
	{ mkdir -p "${path%/*}/" && new=$(mktemp -d "${path%/*}/.amigen.XXXXXX") && (cd "$new" && [[ -O . ]] && printf %s "$4" | $decoder >file &&
		chown "$3" file && chmod "$2" file && sync file && mv -fT file "$path"); } || fail "cannot write $path: a folder, disk full, read-only, or no such user as $3?"
	rmdir "$new"
}

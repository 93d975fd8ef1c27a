# sysctl_at_boot PATH VALUE: says what else the last file that sets it at boot sets. a.b/c is a/b.c; a key may be a pattern.
sysctl_at_boot() (
	program=/usr/lib/systemd/systemd-sysctl
	[ -x "$program" ] || program=/lib/systemd/systemd-sysctl
	if [ ! -x "$program" ] || ! command -v awk >/dev/null; then exit 0; fi
	found=$("$program" --cat-config | awk -v path="$1" '
		/^# [^ ]*sysctl[^ ]*[.]conf$/ { file = $2 }
		/^[ 	]*[#;]/ || !/=/ { next }
		{
			key = value = $0
			sub(/[ 	]*=.*/, "", key)
			sub(/^[ 	]*-?/, "", key)
			sub(/^[^=]*=[ 	]*/, "", value)
			gsub(/[ 	]+/, " ", value)
			sub(/ $/, "", value)
			if (key ~ /^[^.\/]*[.]/) {
				gsub("/", ":", key)
				gsub("[.]", "/", key)
				gsub(":", ".", key)
			}
			gsub("[.]", "[.]", key)
			gsub("[*]", "[^/]*", key)
			if (path ~ "^/proc/sys/" key "$") last = value " by " file
		}
		END { print last }')
	[ "${found% by *}" = "$2" ] || echo "$1 should be set to $2 at boot; it is set to ${found:-nothing}"
)

# PATH VALUE: what else the last file that sets it at boot sets; no pattern beats a key. a.b/c is a/b.c.
sysctl_at_boot() (
	PATH=$PATH:/usr/lib/systemd:/lib/systemd
	type systemd-sysctl awk >/dev/null 2>&1 || exit 0
	found=$(systemd-sysctl --cat-config | awk -v path="$1" '
		/^# [^ ]*sysctl[^ ]*[.]conf$/ { file = $2 }
		/^[ 	]*[#;]/ || !/=/ { next }
		{
			key = $0
			sub(/[ 	]*=.*/, "", key)
			sub(/^[ 	]*-?/, "", key)
			sub(/^[^=]*=/, "")
			$1 = $1
			if (key ~ /^[^.\/]*[.]/) {
				gsub("/", ":", key)
				gsub("[.]", "/", key)
				gsub(":", ".", key)
			}
			if (path == "/proc/sys/" key) last = $0 " by " file
		}
		END { print last }')
	[ "${found% by *}" = "$2" ] || echo "$1 should be set to $2 at boot; it is set to ${found:-nothing}"
)

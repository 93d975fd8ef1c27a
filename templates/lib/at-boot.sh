# PATTERN: rules of modprobe, with the place; the first file of a name counts.
rules() {
	find /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d -maxdepth 1 -name '*.conf' -xtype f,c | awk -F/ '!seen[$NF]++' |
		xargs -rd '\n' awk -v pattern="^[ \t]*$1" '{ rule = rule $0 } !sub(/\\$/, "", rule) { if (rule ~ pattern) print FILENAME ":" FNR ":" rule; rule = "" }'
}

# PATTERN: why systemd-modules-load skips a module.
skipped() (
	set +e
	find /etc/systemd /run/systemd -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n'
	rules "(blacklist|install)[ \t]+($1)([ \t]|$)"
	# A container sees its host's.
	[ "${AMIGEN_NO_KERNEL:-}" ] || grep -onHE "\S*blacklist=(\S*,)?($1)\b" /proc/cmdline
) 2>/dev/null

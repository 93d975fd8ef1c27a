# What ip_vs is told at boot of the size of its table, with the place.
table_at_boot() (
	set +e
	{
		rules "options[ \t]+ip[-_]vs[ \t](.*[ \t])?conn[-_]tab[-_]bits="
		# A container sees its host's.
		[ "${AMIGEN_NO_KERNEL:-}" ] || grep -onHE "\bip_vs[.]conn[-_]tab[-_]bits=\S*" /proc/cmdline
	} | sed -E "s/^([^:]*:[0-9]+):.*\bconn[-_]tab[-_]bits=(\S*).*/\1 sets conn_tab_bits=\2/"
) 2>/dev/null

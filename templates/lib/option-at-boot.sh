# option_settings MODULE OPTION: a line for each value that modprobe's configuration gives the option, with the place.
option_settings() (
	{ modprobe -c || cat /etc/modprobe.d/*.conf; } 2>/dev/null | grep "^options $1 " | tr ' -' '\n_' | sed -n "s/^$2=//p" | sort -u |
		while read -r value; do
			place=$(grep -rnE "^[^#]*$(echo "$2" | tr _ .)=$value(\s|$)" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d 2>/dev/null |
				head -n 1 | cut -d: -f1,2) || :
			# A container sees its host's command line.
			[ -z "$place" ] && [ "${AMIGEN_NO_KERNEL:-}" ] || echo "${place:-/proc/cmdline} sets $2=$value"
		done
)

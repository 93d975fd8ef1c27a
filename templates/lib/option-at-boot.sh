# option_settings MODULE OPTION: a line for each value that modprobe's configuration gives the option, with the place.
option_settings() (
	set +e
	modprobe_config | grep "^options $1 " | tr ' -' '\n_' | sed -n "s/^$2=//p" | sort -u | while read -r value; do
		place=$(grep -RnE "^[^#]*$(echo "$2" | tr _ .)=$value(\s|$)" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d /proc/cmdline |
			head -n 1 | cut -d: -f1,2)
		# A container sees its host's command line.
		case ${AMIGEN_NO_KERNEL:-}$place in ?*/proc/cmdline*) ;; *) echo "${place:-modprobe -c} sets $2=$value" ;; esac
	done
) 2>/dev/null

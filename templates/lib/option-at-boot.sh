# option_settings MODULE OPTION: a line for each value that modprobe's configuration gives the option, with the place.
option_settings() (
	set +e
	modprobe_config | grep "^options $1 " | tr ' -' '\n_' | sed -n "s/^$2=//p" | sort -u | while read -r value; do
		found_in " sets $2=$value" "^[^#]*$2=$value(\s|$)"
	done
) 2>/dev/null

# lacking MODULE PATTERN: what installed kernels lack of it and of what it needs; a removed one has no modules.builtin.
lacking() (
	for builtin in /lib/modules/*/modules.builtin; do
		cd "${builtin%/*}" || continue
		if grep -q "/$2\.ko" modules.builtin; then continue; fi
		line=$(grep "^[^:]*/$2\.ko[^:]*:" modules.dep) || line=$1.ko:
		for file in ${line%%:*} ${line#*:}; do
			[ -e "$file" ] || echo "the kernel ${PWD##*/} lacks $file, which $1 needs"
		done
	done
) 2>/dev/null

# skipped PATTERN: why systemd-modules-load skips a module. modprobe does not, and knows the configuration of both.
skipped() (
	set +e
	find /etc/systemd/system /run/systemd/system -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n'
	modprobe_config | grep -oE "^(blacklist|install) ($1)( |$)" |
		while IFS=' ' read -r word name; do
			found_in ":$word $name" "(^\s*($word\s+)?|blacklist=(\S*,)?)$name(\W|$)"
		done
	[ "${AMIGEN_NO_KERNEL:-}" ] || grep -HnoE "module_blacklist=(\S*,)?($1)\b" /proc/cmdline
	true
) 2>/dev/null

# Without modprobe, as in images of containers, its files as they are.
modprobe_config() {
	modprobe -S none -c || cat /etc/modprobe.d/*.conf /run/modprobe.d/*.conf /lib/modprobe.d/*.conf
}

# found_in TEXT PATTERN: where the configuration has the pattern, and the text.
found_in() {
	place=$(grep -RnE "$(echo "$2" | tr _ .)" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d /proc/cmdline |
		head -n 1 | cut -d: -f1,2)
	# A container sees its host's command line.
	case ${AMIGEN_NO_KERNEL:-}$place in ?*/proc/cmdline*) ;; *) echo "${place:-modprobe -c}$1" ;; esac
}

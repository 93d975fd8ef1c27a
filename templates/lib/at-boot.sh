# lacking MODULE PATTERN: what installed kernels lack of it and of what it needs; a removed one has no modules.builtin.
lacking() (
	for builtin in /lib/modules/*/modules.builtin; do
		cd "${builtin%/*}" || continue
		if grep -q "/$2\.ko" modules.builtin; then continue; fi
		files=$(grep "^[^:]*/$2\.ko[^:]*:" modules.dep | tr -d :) || :
		for file in ${files:-$1.ko}; do
			[ -e "$file" ] || echo "the kernel ${PWD##*/} lacks $file, which $1 needs"
		done
	done
) 2>/dev/null

# skipped PATTERN: why systemd-modules-load skips a module; modprobe does not, but knows which files count.
skipped() (
	set +e
	find /etc/systemd /run/systemd -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n'
	said=$(modprobe_config | grep -oE "^(blacklist|install) ($1)( |$)" || grep -oE "module_blacklist=(\S*,)?($1)\b" /proc/cmdline) || exit 0
	# A container sees its host's command line.
	place=$(grep -RnoE "^\s*(blacklist|install)\s+($1)\b|\S*blacklist=(\S*,)?($1)\b" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d "${AMIGEN_NO_KERNEL:-/proc/cmdline}")
	[ "$place" ] || grep -qE "blacklist=(\S*,)?($1)\b" /proc/cmdline || place="modprobe -c:$said"
	echo "$place" | grep .
) 2>/dev/null

# Without modprobe, as in images of containers, its files as they are.
modprobe_config() {
	modprobe -S none -c || cat /etc/modprobe.d/*.conf /run/modprobe.d/*.conf /lib/modprobe.d/*.conf
}

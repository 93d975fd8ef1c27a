# The installed kernels; of a removed one no modules.builtin is left.
kernels() (
	cd /lib/modules && grep -l / -- */modules.builtin | cut -d/ -f1
) 2>/dev/null

# lacking MODULE PATTERN: what kernels lack of it and of what it needs.
lacking() (
	for kernel in $(kernels); do
		cd "/lib/modules/$kernel" || continue
		if grep -q "/$2\.ko" modules.builtin; then continue; fi
		line=$(grep -s "^[^:]*/$2\.ko[^:]*:" modules.dep) || line=$1.ko:
		for file in ${line%%:*} ${line#*:}; do
			[ -e "$file" ] || echo "the kernel $kernel lacks $file, which $1 needs"
		done
	done
)

# skipped PATTERN: why systemd-modules-load skips a module; modprobe does not.
skipped() (
	names=$1 seen=/
	shift
	find /etc/systemd/system /run/systemd/system -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n' || :
	for file in /etc/modprobe.d/*.conf /run/modprobe.d/*.conf /usr/local/lib/modprobe.d/*.conf /lib/modprobe.d/*.conf; do
		# The first file of a name hides the others.
		case $seen in *"/${file##*/}/"*) continue ;; esac
		seen=$seen${file##*/}/
		set -- "$@" "$file"
	done
	# A container sees its host's command line.
	[ "${AMIGEN_NO_KERNEL:-}" ] || set -- "$@" /proc/cmdline
	grep -nHoE "^\s*(blacklist|install)\s+($names)(\s.*|$)|^[^#]*blacklist=(\S*,)?($names)([, ]|$)" "$@" || :
) 2>/dev/null

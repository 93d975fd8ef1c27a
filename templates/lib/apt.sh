causes='Failed to fetch|Release file|The repository|Could not get lock|dpkg: error|No space'

version_of() {
	# shellcheck disable=SC2016 # dpkg-query's own fields
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "${1%%=*}" 2>/dev/null | sed -n 's/^installed //p' |
		if [[ $1 == *=* ]]; then grep -xF "${1#*=}"; else cat; fi
}

# Nobody answers what a package, or needrestart on Ubuntu, would ask.
unattended() {
	local left=$((end - $(uptime)))
	((left > 0)) || return 124
	bounded "$left" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a NEEDRESTART_SUSPEND=1 "$@"
}

apt_get() {
	# It gives up, and names who holds the lock, before its time is over.
	local left=$((end - $(uptime) - 10))
	# Half of the processor time of an update: no descriptions (apt.conf(5)), and gzip in place of xz.
	unattended apt-get -y -o DPkg::Lock::Timeout="$((left > 0 ? left : 0))" -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
		-o Acquire::Languages=none -o Acquire::CompressionTypes::Order::=gz \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "${package_options[@]}" "$@"
}

install_packages() {
	local torn name
	# Also after a failed update: the package may come from a source that works.
	apt_get update || :
	apt_get install --reinstall --no-install-recommends --allow-downgrades -- "$@" && return
	# An earlier installation may have been cut short: unpack again what was not unpacked to the end, then configure the rest.
	mapfile -t torn < <(dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status} ${binary:Package}\n' | sed -nE 's/^(reinstreq .*|.* half-installed) //p')
	# One by one: no source may have one of them.
	for name in "${torn[@]}"; do apt_get install --reinstall --no-install-recommends -- "$name" || :; done
	unattended dpkg --force-confold --configure -a && return 1
}

# MODULE KERNEL: what to install.
package_with_module() {
	local name
	for name in linux-{modules-extra,modules,image}-$2; do
		if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
			printf 'the package %s should have it' "$name"
			return
		fi
	done
	printf 'no package for the kernel %s is known here; a kernel such as linux-generic, linux-aws or linux-image-amd64 has it' "$2"
}

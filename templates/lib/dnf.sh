version_of() {
	rpm -q --qf '%{EVR}\n' "$1" 2>/dev/null | grep -v ' '
}

install_packages() {
	local left=$((end - $(uptime)))
	((left > 0)) || return 124
	# The package may come from a repository that works.
	bounded "$left" dnf -y '--setopt=*.skip_if_unavailable=True' --setopt=install_weak_deps=False \
		--setopt=retries=2 --setopt=timeout=20 "${package_options[@]}" install "${@/=/-}"
}

# package_with_module MODULE KERNEL: what to install, for exactly this kernel.
package_with_module() {
	local found
	found=$(timeout 120 dnf -q "${package_options[@]}" repoquery --whatprovides "*/$2/*/$1.ko*" --qf '%{name}-%{evr}\n' 2>/dev/null | grep . | sort -u | paste -sd' ') || :
	echo "${found:+install }${found:-no repository here has it for the kernel $2}"
}

# In AWS's order.
releasever() {
	cat /etc/dnf/vars/releasever 2>/dev/null || rpm -q --qf '%{VERSION}' system-release || :
}

causes='Curl error|Status code|RPM: error|No space'

version_of() {
	rpm -q --qf '%{EVR}\n' "${1/=/-}" 2>/dev/null | grep -v ' '
}

install_packages() {
	# The package may come from a repository that works.
	bounded "$((end - $(uptime)))" dnf -y '--setopt=*.skip_if_unavailable=True' --setopt=install_weak_deps=False \
		--setopt=retries=2 --setopt=timeout=20 "${package_options[@]}" install "${@/=/-}"
}

# MODULE KERNEL: of this very kernel.
package_with_module() {
	found=$(timeout 120 dnf -q "${package_options[@]}" repoquery --whatprovides "*/$2/*/$1.ko*" --qf '%{name}-%{evr}\n' 2>/dev/null | sort -u | xargs)
	echo "${found:+install }${found:-no repository here has it}"
}

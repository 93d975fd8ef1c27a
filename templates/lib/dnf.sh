query_packages() {
  # `rpm -q` says on stdout what is not installed; that line does not begin with `installed`.
  rpm -q --qf 'installed %{NAME} %{EVR}\n' -- "$@" 2>/dev/null || true
}

# install_packages NAME[=VERSION]...
install_packages() {
  # dnf waits for its own lock without an end; rpm's lock, which others take directly, makes it fail, and so try again.
  in_time dnf -y --setopt=install_weak_deps=False --setopt=retries=2 --setopt=timeout=20 \
    "${package_options[@]}" install -- "${@/=/-}"
}

package_with_module() {
  local name
  name=$(timeout 120 dnf -q "${package_options[@]}" repoquery --whatprovides "*/$1.ko*" --qf '%{name}\n' 2>/dev/null | grep . | sort -u | paste -sd' ' -) || true
  if [[ -n $name ]]; then
    printf 'packages that have it: %s' "$name"
  else
    printf 'no package of the repositories here has it; see kernel-modules-extra for the kernel %s' "$2"
  fi
}

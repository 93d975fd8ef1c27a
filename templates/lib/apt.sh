query_packages() {
  # shellcheck disable=SC2016 # dpkg-query's own fields, not the shell's
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "$@" 2>/dev/null || true
}

# What a package's script would ask, and needrestart on Ubuntu, nobody is there to answer.
unattended() {
  in_time env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a NEEDRESTART_SUSPEND=1 "$@"
}

apt_get() {
  local now
  read_clock
  # apt-get does not wait for locks by itself; it is to give up, and name who holds the lock, before it is stopped.
  unattended apt-get -y -o DPkg::Lock::Timeout="$((deadline > now + 10 ? deadline - now - 10 : 0))" -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    "${package_options[@]}" "$@"
}

# An earlier run, or this one, may have been cut in the middle of an installation.
mend_packages() {
  unattended dpkg --force-confold --configure -a || true
}

# install_packages NAME[=VERSION]...
install_packages() {
  if [[ -n $(find /var/lib/dpkg/updates -type f -print -quit 2>/dev/null) ]]; then mend_packages; fi
  apt_get update || return 1
  apt_get install --no-install-recommends --allow-downgrades -- "$@" && return 0
  mend_packages
  return 1
}

package_with_module() {
  local kernel=$2 name
  for name in "linux-modules-extra-$kernel" "linux-modules-$kernel" "linux-image-$kernel"; do
    if apt-cache show --no-all-versions -- "$name" >/dev/null 2>&1; then
      printf 'the package %s should have it' "$name"
      return
    fi
  done
  printf 'no package for the kernel %s is known here; a kernel such as linux-generic, linux-aws or linux-image-amd64 has it' "$kernel"
}

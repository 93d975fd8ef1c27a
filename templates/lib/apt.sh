query_packages() {
  # shellcheck disable=SC2016 # dpkg-query's own fields, not the shell's
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "$@" 2>/dev/null || true
}

apt_get() {
  # apt-get does not wait for locks by itself; needrestart would ask on Ubuntu.
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a NEEDRESTART_SUSPEND=1 timeout -k 30 "$left" \
    apt-get -y -o DPkg::Lock::Timeout="$left" -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    "${package_options[@]}" "$@"
}

# install_packages SECONDS NAME[=VERSION]...
install_packages() {
  local left=$1
  shift
  # An earlier run may have been cut in the middle of an installation.
  if [[ -n $(find /var/lib/dpkg/updates -type f -print -quit 2>/dev/null) ]]; then dpkg --force-confold --configure -a || true; fi
  apt_get update || return 1
  apt_get install --no-install-recommends --allow-downgrades -- "$@" && return 0
  dpkg --force-confold --configure -a || true
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

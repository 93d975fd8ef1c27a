become_root() {
  ((EUID == 0)) && return
  local sudo
  sudo=$(command -v sudo) || fail 'this needs root, and there is no sudo on this machine'
  "$sudo" -n true 2>/dev/null || fail 'this needs root, and sudo asks for a password'
  [[ -f $0 ]] || fail 'this needs root: run the script as a file, or as root'
  trap - EXIT ERR
  exec "$sudo" -n -- env AMIGEN_NO_KERNEL="${AMIGEN_NO_KERNEL:-}" bash "$0"
}

# require_option MODULE OPTION VALUE OWN-FILE: elsewhere the option has no other value; which of two wins depends on their order.
require_option() {
  local file text line seen=/ name="${1//_/[-_]}" option="${2//_/[-_]}"
  for file in {/etc,/run,/usr/local/lib,/usr/lib}/modprobe.d/*.conf; do
    # A file hides those of its name in later folders, also where it is a link to /dev/null: modprobe.d(5).
    if [[ (! -e $file && ! -L $file) || $seen == */"${file##*/}"/* ]]; then continue; fi
    seen+=${file##*/}/
    [[ -f $file && $file != "$4" ]] || continue
    IFS= read -r -d '' text <"$file" || true
    [[ $text =~ $option ]] || continue
    # A line goes on after a backslash.
    while read -r line; do
      if [[ $line =~ ^options[[:space:]]+${name}[[:space:]](.*[[:space:]])?${option}=([^[:space:]]*) ]]; then refuse_other "$file" "$@" "${BASH_REMATCH[2]}"; fi
    done <<<"${text//\\$'\n'/}"
  done
  # A container or chroot sees its host's.
  [[ -z ${AMIGEN_NO_KERNEL:-} && -r /proc/cmdline ]] || return 0
  read -r line </proc/cmdline || true
  if [[ " $line" =~ .*[[:space:]]${name}\.${option}=([^[:space:]]*) ]]; then refuse_other 'the kernel command line' "$@" "${BASH_REMATCH[1]}"; fi
}

# refuse_other PLACE MODULE OPTION VALUE OWN-FILE FOUND
refuse_other() {
  [[ $6 == "$4" ]] || fail "$1 sets $3=$6 for $2, and the spec wants $4: remove one of them"
}

# settle_option MODULE OPTION VALUE: a module that is loaded keeps its old value; it is loaded anew where nothing uses it.
settle_option() {
  local now=''
  [[ -z ${AMIGEN_NO_KERNEL:-} && -r /sys/module/$1/parameters/$2 ]] || return 0
  read -r now <"/sys/module/$1/parameters/$2"
  [[ $now != "$3" ]] || return 0
  local -a users=()
  if [[ -d /sys/module/$1/holders ]]; then mapfile -t users < <(ls "/sys/module/$1/holders"); fi
  if modprobe -r -- "${users[@]}" "$1" 2>/dev/null; then
    log "unloaded $1 (it had $2=$now), to load it with $2=$3"
  else
    log "WARNING: $1 is in use with $2=$now; $2=$3 holds after the next reboot"
  fi
}

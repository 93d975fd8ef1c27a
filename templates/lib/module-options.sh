# require_option MODULE OPTION VALUE OWN-FILE: another file that sets the option otherwise would win or lose by its name.
require_option() {
  local file line
  for file in {/etc,/run,/usr/local/lib,/usr/lib}/modprobe.d/*.conf; do
    [[ -f $file && $file != "$4" ]] || continue
    while read -r line || [[ -n $line ]]; do
      if [[ $line =~ ^options[[:space:]]+$1[[:space:]](.*[[:space:]])?$2=([^[:space:]]*) && ${BASH_REMATCH[2]} != "$3" ]]; then
        fail "$file sets $2=${BASH_REMATCH[2]} for $1, and the spec wants $3: remove one of them"
      fi
    done <"$file"
  done
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

declare -A installed=()

look_at_packages() {
  local state name version
  installed=()
  while read -r state name version; do
    if [[ $state == installed ]]; then installed["$name"]=$version; fi
  done < <(query_packages "$@")
}

# Sets `missing` to those of NAME[=VERSION]... that are not there, or not in this version.
find_missing() {
  local want
  look_at_packages "${@%%=*}"
  missing=()
  for want in "$@"; do
    if [[ -z ${installed["${want%%=*}"]:-} || ($want == *=* && ${installed["${want%%=*}"]} != "${want#*=}") ]]; then missing+=("$want"); fi
  done
}

# ensure_packages SECONDS NAME[=VERSION]...: tries until the time is up; the network, the mirror and the lock may need it.
ensure_packages() {
  local limit=$1 delay=2 left deadline=$((SECONDS + $1)) missing=() out=$run_dir/packages.log
  shift
  find_missing "$@"
  ((${#missing[@]} > 0)) || return 0
  step="install ${missing[*]}"
  log "installing ${missing[*]}"
  unfinished
  until left=$((deadline - SECONDS)) && attended install_packages "$((left > 10 ? left : 10))" "${missing[@]}" >"$out" 2>&1; do
    # What was stopped may have said half a line.
    { cat "$out" && echo; } | sed -e '/^$/d' -e 's/^/  | /' | tail -n 12
    if ((SECONDS + delay >= deadline)); then fail "cannot install ${missing[*]} within $limit s: $(last_error "$out")"; fi
    log "that did not work ($(last_error "$out")); again in $delay s"
    sleep "$delay"
    delay=$((delay < 30 ? delay * 2 : 30))
  done
  find_missing "$@"
  if ((${#missing[@]} > 0)); then fail "installed, and yet the package database has no ${missing[*]}: is that the real name of the package?"; fi
  changes=$((changes + 1))
}

# The line that says why, of a package manager's output.
last_error() {
  local line found='no message'
  ((SECONDS < deadline)) || found='it was still at work when its time was over'
  while read -r line || [[ -n $line ]]; do
    [[ ! $line =~ ^(E:|Err|Error|W:.*[Ff]ailed|\[Errno|Curl|RPM:|No\ space|.*No\ space) ]] || found=$line
  done <"$1"
  printf '%s' "${found:0:300}"
}

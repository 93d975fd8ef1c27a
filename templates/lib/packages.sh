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

# Sets `now` to the seconds since boot. bash's SECONDS goes by the wall clock, which a first boot may set far back or ahead.
read_clock() {
  read -r now _ </proc/uptime
  now=${now%.*}
}

# in_time COMMAND...: with the time that is left of all. What does not end when it is asked to is killed 30 s later.
in_time() {
  local now
  read_clock
  ((now < deadline)) || return 124
  timeout -k 30 "$((deadline - now))" "$@"
}

# ensure_packages SECONDS NAME[=VERSION]...: tries until the time is up; the network, the mirror and the lock may need it.
ensure_packages() {
  local limit=$1 delay=2 now deadline why='' missing=() out=$run_dir/packages.log
  shift
  read_clock
  deadline=$((now + limit))
  find_missing "$@"
  ((${#missing[@]} > 0)) || return 0
  step="install ${missing[*]}"
  log "installing ${missing[*]}"
  until install_packages "${missing[@]}" >"$out" 2>&1 8>&- 9>&-; do
    # What was stopped may have said half a line.
    { cat "$out" && echo; } | sed -e '/^$/d' -e 's/^/  | /' | tail -n 12
    why=$(last_error "$out")
    read_clock
    # A try that is stopped as soon as it began would only hide why the one before failed.
    if ((now + delay + 10 > deadline)); then fail "cannot install ${missing[*]} within $limit s: $why"; fi
    log "that did not work ($why); again in $delay s"
    sleep "$delay"
    delay=$((delay < 30 ? delay * 2 : 30))
  done
  find_missing "$@"
  if ((${#missing[@]} > 0)); then fail "installed, and yet the package database has no ${missing[*]}: is that the real name of the package?"; fi
  changes=$((changes + 1))
}

# The line that says why, of a package manager's output; a vague one only where there is no other. A package is also
# unknown where the list that has it could not be fetched, and a lock has a holder.
last_error() {
  local line last='' full='' cause='' found='' vague='' now
  while read -r line || [[ -n $line ]]; do
    last=${line:-$last}
    if [[ $line =~ No\ space|disk\ is\ full ]]; then
      full=$line
    elif [[ $line =~ ^(W:|E:|-|Waiting.*:)\ ((Failed\ to\ fetch|Curl\ error|Status\ code|Could\ not\ get\ lock).*) ]]; then
      cause=${BASH_REMATCH[2]}
    elif [[ $line =~ ^(E:\ (Sub-process|Unable\ to\ fetch)|W:\ Some\ index|Err:|Error:\ Could\ not\ run) ]]; then
      vague=$line
    elif [[ $line =~ ^(E:|[Ee]rror[:\ ]|dpkg:\ error|W:.*[Ff]ailed|\[Errno|Curl|RPM:) ]]; then
      found=$line
    fi
  done <"$1"
  if [[ -n $cause && (-z $found || $found =~ Unable\ to|candidate|\ not\ found|Failed\ to\ download|lock) ]]; then
    found=$cause${found:+; ${found#E*: }}
  fi
  found=${full:-${found:-${vague:-${last:-no message}}}}
  read_clock
  if ((now >= deadline)); then found="it was still at work when its time was over (${last:-${why:-no message}})"; fi
  printf '%s' "${found:0:300}"
}

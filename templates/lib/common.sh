# Nothing of the caller's environment is relied on: user data runs with next to none.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
umask 022
# A signal may be heard inside of a call that writes to a file: what is logged goes where stdout went at the start.
exec 7>&1

release=/etc/amigen/release.json
run_dir=/run/amigen
state_dir=/var/lib/amigen
changes=0
journal=''
step='start'
reason=''
failed_line=0
begun=''
declare -A attributes=()

log() {
  printf 'amigen: %s\n' "$*" >&7
  if [[ -n $journal ]]; then printf '%s\n' "$*" >&9 || true; fi
}

fail() {
  reason="$*"
  exit 1
}

# Under cloud-init, stdout reaches the journal and the console already.
open_journal() {
  if [[ -z ${JOURNAL_STREAM:-} && -S /dev/log ]] && command -v logger >/dev/null; then
    exec 9> >(exec logger -t amigen)
    journal=$!
  fi
}

# From before its first change to its end, a run leaves no release.json: if it fails or is killed, also by a power loss,
# the gate stays closed at the next boots. Moved, not written: that works on a full disk, too.
unfinished() {
  begun=1
  [[ -e $release ]] || return 0
  if ! mv -fT "$release" "$release.unfinished" || ! sync "${release%/*}"; then rm -f "$release" || true; fi
}

on_exit() {
  local code=$1
  trap - EXIT ERR
  trap '' HUP INT TERM
  set +e
  if ((code != 0)); then
    reason=${reason:-"$step: a command ended with code $code in line $failed_line"}
    printf '%s\n' "$reason" 2>/dev/null >"$run_dir/failed"
    if [[ -n $begun ]]; then unfinished; fi
    close_gate
    log "FAILED: $reason"
  fi
  if [[ -n $journal ]]; then
    exec 9>&-
    wait "$journal"
  fi
  exit "$code"
}

# attended COMMAND...: in the background, for bash hears no signal while it waits for a command in the foreground.
attended() {
  (
    trap 'exit 1' TERM
    exec 7>&- 8>&- 9>&-
    "$@"
  ) &
  wait "$!"
}

# end_tree PID: SIGTERM to it and to what it started; a package manager has a process group of its own.
end_tree() {
  local pid children=()
  read -ra children 2>/dev/null <"/proc/$1/task/$1/children"
  kill "$1" 2>/dev/null
  for pid in "${children[@]}"; do end_tree "$pid"; done
}

# stopped CODE
stopped() {
  local pid
  trap '' HUP INT TERM
  set +e
  reason='stopped by a signal'
  for pid in $(jobs -pr); do
    end_tree "$pid"
    wait "$pid"
  done
  exit "$1"
}

begin() {
  trap 'failed_line=$LINENO' ERR
  trap 'on_exit $?' EXIT
  trap 'stopped 129' HUP
  trap 'stopped 130' INT
  trap 'stopped 143' TERM
  if declare -F become_root >/dev/null; then become_root; fi
  hold_units
  [[ -d $run_dir && -d $state_dir/hooks ]] || mkdir -p "$run_dir" "$state_dir/hooks" || fail "cannot make $run_dir and $state_dir: not root, or a disk full or read-only?"
  open_journal
  exec 8>"$run_dir/lock"
  flock -w 900 8 &
  wait "$!" || fail 'another run of amigen has held the lock for 900 s'
  [[ ! -e $run_dir/failed ]] || rm -f "$run_dir/failed"
  # The first run on a new node of an image: what the image says does not open the gate until the run has ended well.
  if [[ -e $state_dir/baked ]]; then
    unfinished
    stop_gate
  fi
}

require_platform() {
  local wanted=$1 ID='' VERSION_ID='' PRETTY_NAME=''
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && . /etc/os-release
  [[ "$ID $VERSION_ID" == "$wanted" ]] || fail "this script is for $wanted; this machine is ${PRETTY_NAME:-unknown}"
}

# One stat for all files that the plan writes.
look_at() {
  local line
  while IFS= read -r line; do
    attributes["${line#* * * * * }"]=${line%"${line#* * * * * }"}
  done < <(stat -c '%a u:%U u:%u g:%G g:%g %n' -- "$@" 2>/dev/null)
}

# file_is PATH CONTENT [SHA256]: the same to the byte. `read` ends with 0 only where it meets a NUL, which text cannot hold.
file_is() {
  local there
  [[ -f $1 && ! -L $1 && -r $1 ]] || return 1
  if [[ -n ${3:-} ]]; then
    there=$(sha256sum <"$1")
    [[ ${there%% *} == "$3" ]]
    return
  fi
  ! IFS= read -r -d '' there <"$1" && [[ $there == "$2" ]]
}

# has_attributes PATH MODE OWNER:GROUP, each by name or by number
has_attributes() {
  local have=${attributes["$1"]:-}
  [[ $have == "$2 "* && $have == *" u:${3%:*} "* && $have == *" g:${3#*:} "* ]]
}

# What somebody else wrote is kept where nothing reads it: cron, logrotate, kubelet take files of any name. In modules-load.d
# it stays in effect.
keep_foreign() {
  local path=$1 kept=$state_dir/kept$1 sum
  [[ -e $path || -L $path ]] || return 0
  [[ ! -d $path || -L $path ]] || fail "$path is a folder, and a file is to stand there"
  sum=$(sha256sum <"$path" 2>/dev/null) || sum=''
  if [[ -n $sum && -f $state_dir/written ]] && grep -qxF -- "${sum%% *} $path" "$state_dir/written"; then return 0; fi
  if [[ $path == /etc/modules-load.d/*.conf ]]; then kept=${path%.conf}.before-amigen.conf; fi
  if ! (umask 077 && mkdir -p -- "${kept%/*}") || ! cp -a --remove-destination -T -- "$path" "$kept.new" || ! mv --backup=numbered -T -- "$kept.new" "$kept"; then
    rm -f -- "$kept.new" "$path.amigen-new" || true
    fail "cannot keep a copy of $path: is the disk full?"
  fi
  log "kept: the $path of somebody else is now $kept"
}

# remember PATH FILE: that amigen wrote this content of PATH. The list is made anew, for half a line would hide the next.
remember() {
  local list=$state_dir/written line
  line=$(sha256sum <"$2") || return 1
  line="${line%% *} $1"
  # grep ends with 1 where nothing else is in there.
  { [[ ! -f $list ]] || grep -vxF -- "$line" "$list" || (($? == 1)); } >"$list.new" &&
    printf '%s\n' "$line" >>"$list.new" && sync -- "$list.new" && mv -fT -- "$list.new" "$list"
}

# put_file PATH MODE OWNER:GROUP CONTENT [SHA256]: atomic, and nothing at all where it stands already. With SHA256, which is
# that of the file, CONTENT is base64.
put_file() {
  local path=$1 mode=$2 owner=$3 content=$4 new=$1.amigen-new
  if has_attributes "$path" "$mode" "$owner" && file_is "$path" "$content" "${5:-}"; then return 0; fi
  step="write $path"
  unfinished
  [[ -d ${path%/*}/ ]] || mkdir -p -- "${path%/*}" || fail "cannot make the folder ${path%/*}"
  if ! fill "$new" "$content" "${5:-}" || ! chown -h -- "$owner" "$new" || ! chmod -- "$mode" "$new" || ! sync -- "$new"; then
    rm -f -- "$new" || true
    fail "cannot write $path: disk full, read-only, or no such user as $owner?"
  fi
  keep_foreign "$path"
  if ! remember "$path" "$new"; then
    rm -f -- "$new" "$state_dir/written.new" || true
    fail "cannot write $state_dir/written: is the disk full?"
  fi
  mv -fT -- "$new" "$path" || fail "cannot put $path in its place"
  changes=$((changes + 1))
  log "wrote $path"
}

# For nobody else to read until it has its mode.
fill() {
  local code=0
  umask 077
  if [[ -n $3 ]]; then
    printf '%s' "$2" | base64 -d >"$1" || code=$?
  else
    printf '%s' "$2" >"$1" || code=$?
  fi
  umask 022
  return "$code"
}

# finish WORDS-FOR-NOTHING
finish() {
  if [[ -e $state_dir/baked ]]; then rm -f "$state_dir/baked"; fi
  if ((changes == 0)); then log "$1"; else log "ready: $changes changes"; fi
}

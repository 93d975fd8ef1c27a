release=/etc/amigen/release.json run_dir=/run/amigen state_dir=/var/lib/amigen
changes=0 begun='' step=start reason=''

log() {
  printf 'amigen: %s\n' "$*" >&7 || true
}

fail() {
  reason=$*
  exit 1
}

stopped() {
  reason='stopped by a signal'
  exit "$1"
}

# bounded SECONDS COMMAND...: `timeout` also ends what the command started. bash hears a signal while it waits.
bounded() {
  timeout -k 30 "$@" 8>&- &
  wait "$!"
}

# Before the first change. Without release.json the gate is closed at the next boots: after a failure, SIGKILL or power loss.
unfinished() {
  begun=1
  [[ -e $release ]] || return 0
  # A move works on a full disk, too.
  if ! mv -fT "$release" "$release.unfinished" || ! sync "${release%/*}"; then rm -f "$release" || true; fi
}

on_exit() {
  local code=$?
  trap '' HUP INT TERM EXIT ERR
  set +e
  if ((code)); then
    jobs -pr | xargs -r kill
    wait
    reason=${reason:-"$step: a command ended with code $code"}
    echo "$reason" 2>/dev/null >"$run_dir/failed"
    [[ -z $begun ]] || unfinished
    close_gate
    log "FAILED: $reason"
  fi
  exit "$code"
}

begin() {
  [[ -c /dev/null ]] || { rm -f /dev/null && mknod -m 666 /dev/null c 1 3; } || true
  # Messages go to the first stdout, wherever a signal comes. It may be closed, and its reader may go away.
  { exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
  trap : PIPE
  trap on_exit EXIT
  trap 'stopped 129' HUP
  trap 'stopped 130' INT
  trap 'stopped 143' TERM
  if declare -F become_root >/dev/null; then become_root; fi
  hold_units
  mkdir -p "$run_dir" "$state_dir" || fail "cannot make $run_dir and $state_dir: not root, or is the disk full or read-only?"
  exec 8>"$run_dir/lock"
  flock -w 900 8 &
  wait "$!" || fail 'another run of amigen has held the lock for 900 s'
  rm -f "$run_dir/failed"
  # On a new node of an image, what the image says opens no gate before this run has ended well.
  if [[ -e $state_dir/baked ]]; then
    unfinished
    stop_gate
  fi
}

require_platform() {
  local ID='' VERSION_ID=''
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && . /etc/os-release
  [[ "$ID $VERSION_ID" == "$1" ]] || fail "this script is for $1; this machine is ${ID:-unknown} $VERSION_ID"
}

# put_file PATH MODE OWNER:GROUP TEXT [DECODER...]: the whole file or nothing. A file that amigen did not write is kept where
# nothing reads it; in modules-load.d it stays in effect.
put_file() {
  local path=$1 sum kept=$state_dir/kept$1 written=$state_dir/files$1.sha256 decoder=("${@:5}") new=${1%/*}/.amigen.new
  ((${#decoder[@]})) || decoder=(cat)
  # Of a run that was killed.
  [[ ! -e $new ]] || rm -rf "$new"
  sum=$(printf %s "$4" | "${decoder[@]}" | sha256sum)
  if [[ -f $path && ! -L $path && $(sha256sum <"$path") == "$sum" ]]; then
    [[ $(stat -c '%a u%U u%u g%G g%g ' "$path") != "$2 "*"u${3%:*} "*"g${3#*:} "* ]] || return 0
  fi
  step="write $path"
  unfinished
  [[ ! -d $path || -L $path ]] || fail "$path is a folder; remove it"
  if [[ -e $path || -L $path ]] && ! is_ours "$path" "$written"; then
    [[ $path != /etc/modules-load.d/*.conf ]] || kept=${path%.conf}.before-amigen.conf
    if ! (umask 077 && mkdir -p "${kept%/*}") || ! cp -aT --backup=numbered "$path" "$kept"; then
      rm -f "$kept" || true
      fail "cannot keep a copy of $path: is the disk full?"
    fi
    log "kept the existing $path as $kept"
  fi
  # A folder of root's: nobody can put a link in the new file's place.
  if ! mkdir -p "${path%/*}/" "${written%/*}" || ! mkdir -m 700 "$new" ||
    ! (cd "$new" && [[ -O . ]] && printf %s "$4" | "${decoder[@]}" >file && chown "$3" file && chmod "$2" file && sync file) ||
    ! (echo "$sum" && { grep -svxF -m 1 "$sum" "$written" || true; }) >"$written.new" ||
    ! mv -f "$written.new" "$written" || ! mv -fT "$new/file" "$path"; then
    rm -rf "$new" "$written.new" || true
    fail "cannot write $path: disk full, read-only, or no such user as $3?"
  fi
  rmdir "$new"
  changes=$((changes + 1))
  log "wrote $path"
}

# By its record, of two versions; amigen 0.1 had one list.
is_ours() {
  local sum
  sum=$(sha256sum 2>/dev/null <"$1") || return 1
  grep -qsxF "$sum" "$2" || grep -qsxF "${sum%% *} $1" "$state_dir/written"
}

finish() {
  rm -f "$state_dir/baked"
  if ((changes)); then log "ready: $changes changes"; else log "$1"; fi
}

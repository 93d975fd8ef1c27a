#!/usr/bin/env bash
# amigen 0.1.0: makes Amazon Linux 2023 ready for kube-proxy in nftables mode.
# Safe to run again: what is as it should be is left alone. The last line says how it ended.
# shellcheck disable=SC2016 # File contents are data: nothing in them is to be expanded.
set -Eeuo pipefail

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

become_root() {
  ((EUID == 0)) && return
  local sudo
  sudo=$(command -v sudo) || fail 'this needs root, and there is no sudo on this machine'
  "$sudo" -n true 2>/dev/null || fail 'this needs root, and sudo asks for a password'
  [[ -f $0 ]] || fail 'this needs root: run the script as a file, or as root'
  trap - EXIT ERR
  exec "$sudo" -n -- env AMIGEN_NO_KERNEL="${AMIGEN_NO_KERNEL:-}" bash "$0"
}

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
  unfinished
  until attended install_packages "${missing[@]}" >"$out" 2>&1; do
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

# Sets `missing` to the modules that are neither loaded nor built into the running kernel.
find_unloaded() {
  local module
  missing=()
  for module in "${@//-/_}"; do
    # What is built in has no folder there, unless it has parameters.
    [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$kernel/modules.builtin" || missing+=("$module")
  done
}

# check_kernels MODULE...: each installed kernel has each module and what it depends on, as a file or built in.
check_kernels() {
  local dir version module line file names
  local -A found
  names=$(
    IFS='|'
    printf '%s' "${*//[-_]/[-_]}"
  )
  for dir in /lib/modules/*/; do
    [[ -f ${dir}modules.dep && -d ${dir}kernel ]] || continue
    version=${dir%/}
    version=${version##*/}
    found=()
    while read -r line; do
      module=${line%%:*}
      module=${module##*/}
      module=${module%%.ko*}
      found["${module//-/_}"]=1
      [[ $line == *:* ]] || continue
      for file in ${line/:/ }; do
        [[ -e $dir$file || -e $file ]] || fail "the kernel $version lacks $file, which $module needs: $(package_with_module "$module" "$version")"
      done
    done < <(grep -hE "/($names)\.ko" "${dir}modules.dep" "${dir}modules.builtin" 2>/dev/null)
    for module in "$@"; do
      [[ -n ${found["${module//-/_}"]:-} ]] || fail "the kernel $version has no module $module: $(package_with_module "$module" "$version")"
    done
  done
}

# load_modules MODULE...
load_modules() {
  local kernel missing=() said
  step='load modules'
  check_kernels "$@"
  if [[ -n ${AMIGEN_NO_KERNEL:-} ]]; then
    log 'no kernel of its own here (AMIGEN_NO_KERNEL): modules are persisted, not loaded'
    return 0
  fi
  read -r kernel </proc/sys/kernel/osrelease
  find_unloaded "$@"
  ((${#missing[@]} > 0)) || return 0
  said=$(modprobe -a -- "${missing[@]}" 2>&1) || true
  local wanted="${missing[*]}"
  find_unloaded "$@"
  ((${#missing[@]} == 0)) || fail "cannot load ${missing[*]}: $(why_not_loaded "${missing[0]}" "$said")"
  changes=$((changes + 1))
  log "loaded $wanted"
}

# why_not_loaded MODULE MODPROBE-OUTPUT
why_not_loaded() {
  local blocked lockdown='' disabled=0
  blocked=$(grep -rhE "^[[:space:]]*(install|blacklist)[[:space:]]+$1([[:space:]]|$)" /{etc,run,usr/lib}/modprobe.d 2>/dev/null | head -n 1) || true
  [[ ! -r /sys/kernel/security/lockdown ]] || read -r lockdown </sys/kernel/security/lockdown
  [[ ! -r /proc/sys/kernel/modules_disabled ]] || read -r disabled </proc/sys/kernel/modules_disabled
  if [[ ! -e /proc/modules ]]; then
    printf 'the kernel %s cannot load modules at all: boot one that can, or one that has them built in' "$kernel"
  elif [[ $disabled == 1 ]]; then
    printf 'the kernel loads no more modules until the next reboot (sysctl kernel.modules_disabled=1)'
  elif [[ ! -d /lib/modules/$kernel ]]; then
    printf 'no modules of the running kernel %s are installed (reboot after a kernel update?)' "$kernel"
  elif [[ -n $blocked ]]; then
    printf 'modprobe.d says "%s"' "$blocked"
  elif [[ $said =~ Key\ was\ rejected\ by\ service|Required\ key\ not\ available ||
    ($said == *'Operation not permitted'* && $lockdown =~ \[(integrity|confidentiality)\]) ]]; then
    # Under Secure Boot lockdown is normal, and says nothing by itself: modules with a signature load.
    printf 'Secure Boot or lockdown refuses modules without a valid signature (%s)' "${said##*$'\n'}"
  elif [[ -n $said ]]; then
    printf '%s; %s' "${said##*$'\n'}" "$(package_with_module "$1" "$kernel")"
  else
    package_with_module "$1" "$kernel"
  fi
}

# The drop-ins come before anything else, so that a run that fails at once fails closed: until the next boot, where the gate
# is not there yet.
hold_units() {
  local unit path
  for unit in "${gated_units[@]}"; do
    path=systemd/system/$unit.d/10-amigen-ready.conf
    if [[ ! -e /etc/$path ]]; then path=/run/$path; else path=/etc/$path; fi
    put_drop_in "$path" || fail "cannot write $path: not root, or a disk full or read-only?"
  done
  reload_units
}

put_drop_in() {
  if file_is "$1" "$drop_in"; then return 0; fi
  # A gate of amigen 0.1 is open while its unit is active; this one's while the folder exists.
  if [[ -e $1 ]] && systemctl is-active --quiet amigen-ready.service; then mkdir -p /run/amigen-ready; fi
  mkdir -p "${1%/*}" && printf '%s' "$drop_in" >"$1.new" && mv -fT "$1.new" "$1" && return
  rm -f "$1.new" || true
  return 1
}

# Also where the last run wrote the files and was killed before systemd read them.
reload_units() {
  [[ -d /run/systemd/system ]] || return 0
  if [[ $(systemctl show -p NeedDaemonReload amigen-ready.service "${gated_units[@]}") == *=yes* ]]; then systemctl daemon-reload; fi
}

# unit_process UNIT: MainPID NRestarts SubState
unit_process() {
  systemctl show "$1" -p MainPID -p NRestarts -p SubState | sort | sed 's/.*=//' | paste -sd' ' -
}

# A unit that systemd starts again and again does not run; one that is started again for the first time may.
kubelet_runs() {
  local unit first second
  for unit in "${gated_units[@]}"; do
    first=$(unit_process "$unit")
    [[ $first != '0 '* || $first == *auto-restart ]] || continue
    sleep 3
    second=$(unit_process "$unit")
    read -r _ before _ <<<"$first"
    read -r process restarts _ <<<"$second"
    if ((restarts < 2 || (process != 0 && restarts == before))); then return 0; fi
  done
  return 1
}

# stop_gate: from now on the units do not start; those that run go on. Without its requirements, for amigen 0.1's drop-ins.
stop_gate() {
  [[ -d /run/systemd/system ]] || return 0
  systemctl stop --job-mode=ignore-requirements amigen-ready.service 2>/dev/null || true
  rm -rf /run/amigen-ready
}

# close_gate: after a failure. A kubelet that runs may be started again until the next boot.
close_gate() {
  [[ -d /run/systemd/system ]] || return 0
  if kubelet_runs; then
    log "kubelet runs and is left alone; after the next boot it starts once this script has ended well"
  else
    stop_gate
  fi
}

install_gate() {
  local unit path wants=/etc/systemd/system/multi-user.target.wants
  step='install the gate'
  write_gate
  for unit in "${gated_units[@]}"; do
    path=/etc/systemd/system/$unit.d/10-amigen-ready.conf
    if file_is "$path" "$drop_in"; then continue; fi
    put_drop_in "$path" || fail "cannot write $path: is the disk full?"
    changes=$((changes + 1))
    log "wrote $path"
  done
  if [[ ! -L $wants/amigen-ready.service ]]; then
    unfinished
    if ! mkdir -p "$wants" || ! ln -sfT ../amigen-ready.service "$wants/amigen-ready.service"; then fail 'cannot enable amigen-ready.service'; fi
    changes=$((changes + 1))
  fi
  reload_units
}

open_gate() {
  [[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
  step='open the gate'
  if ((changes == 0)) && systemctl is-active --quiet amigen-ready.service; then return 0; fi
  rm -f "$run_dir/failed"
  bash /usr/local/lib/amigen/ready || fail 'the node is not ready; the line above says why'
  systemctl restart amigen-ready.service
}

# write_release HEAD PACKAGE...: HEAD is the JSON that is known when the script is made, without its end.
write_release() {
  local head=$1 old=$release there='' now kernel='' name packages='' document
  shift
  [[ -e $old ]] || old=$release.unfinished
  if ((changes == 0)) && [[ -f $old ]]; then
    IFS= read -r -d '' there <"$old" || true
    if [[ $there == "$head,"* ]]; then
      [[ $old == "$release" ]] || mv -fT "$old" "$release"
      return 0
    fi
  fi
  TZ=UTC0 printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  if [[ -z ${AMIGEN_NO_KERNEL:-} ]]; then read -r kernel </proc/sys/kernel/osrelease; fi
  for name in "$@"; do
    packages+="${packages:+, }\"$name\": \"${installed["$name"]:-}\""
  done
  printf -v document '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%s"\n}\n' "$head" "$kernel" "$packages" "$now"
  put_file "$release" 644 root:root "$document"
  rm -f "$release.unfinished"
}

package_options=()
gated_units=(nodeadm-run.service kubelet.service)
drop_in='# amigen: this unit starts only on a node that is ready (see amigen-ready.service).
# systemd looks at the assertions at each start, also of a job that waited in the queue, and never stops a unit for them.
[Unit]
Wants=amigen-ready.service
After=amigen-ready.service
# Exists while amigen-ready is active.
AssertPathExists=|/run/amigen-ready
# The way out: a file that an administrator makes.
AssertPathExists=|/etc/amigen/ignore-gate
'

write_gate() {
  put_file /usr/local/lib/amigen/ready 755 root:root '#!/usr/bin/env bash
# amigen: says whether this node is ready for kube-proxy in nftables mode.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

not_ready() {
  printf '\''amigen-ready: this node is NOT ready: %s\n'\'' "$*" >&2
  exit 1
}

# A unit that was to start while the node was not ready starts now: systemd knows whose assertion failed.
start_held() {
  local unit said
  for unit in nodeadm-run.service kubelet.service; do
    said=$(systemctl show "$unit" -p AssertResult -p AssertTimestampMonotonic -p ActiveState)
    if [[ $said == *ActiveState=inactive* && $said == *AssertResult=no* && $said == *Monotonic=[1-9]* ]]; then
      systemctl start --no-block "$unit" || true
    fi
  done
}

check_modules() {
  local module kernel
  read -r kernel </proc/sys/kernel/osrelease
  for module in "${@//-/_}"; do
    [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$kernel/modules.builtin" ||
      not_ready "the module $module is not loaded (systemctl status systemd-modules-load; modprobe $module)"
  done
}

if [[ ${1:-} == start-held ]]; then
  start_held
  exit
fi
if [[ -s /run/amigen/failed ]]; then not_ready "the bootstrap failed: $(</run/amigen/failed)"; fi
[[ -s /etc/amigen/release.json ]] || not_ready '\''the bootstrap has not run to its end (see /var/log/cloud-init-output.log)'\''
check_modules nf_tables nf_conntrack
printf '\''amigen-ready: this node is ready for kube-proxy in %s mode\n'\'' nftables
'
  put_file /etc/systemd/system/amigen-ready.service 644 root:root '# amigen: units that start kubelet start only while this one is active.
[Unit]
Description=Node is ready for kube-proxy in nftables mode
After=systemd-modules-load.service systemd-sysctl.service local-fs.target
Before=nodeadm-run.service kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
# The assertion of the units that wait for this one is that /run/amigen-ready exists.
RuntimeDirectory=amigen-ready
ExecStart=/usr/bin/env bash /usr/local/lib/amigen/ready
ExecStartPost=/usr/bin/env bash /usr/local/lib/amigen/ready start-held
TimeoutStartSec=60
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
'
}

# For the image nftables-nodes.
main() {
  begin
  require_platform 'amzn 2023'
  look_at /usr/local/lib/amigen/ready /etc/systemd/system/amigen-ready.service /etc/systemd/system/nodeadm-run.service.d/10-amigen-ready.conf /etc/systemd/system/kubelet.service.d/10-amigen-ready.conf /etc/modules-load.d/amigen.conf /etc/amigen/release.json

  install_gate
  ensure_packages 600 nftables
  put_file /etc/modules-load.d/amigen.conf 644 root:root '# Modules for kube-proxy in nftables mode; written by amigen, see /etc/amigen/release.json.
nf_tables
nf_conntrack
'
  load_modules nf_tables nf_conntrack
  write_release '{
  "name": "nftables-nodes",
  "digest": "333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167",
  "platform": "al2023",
  "kubernetesVersion": "1.35",
  "kubeProxyMode": "nftables",
  "amigen": "0.1.0"' nftables
  open_gate
  finish 'nothing to do: 1 package, 5 files, 2 modules are as they should be; no package manager was called'
}

main

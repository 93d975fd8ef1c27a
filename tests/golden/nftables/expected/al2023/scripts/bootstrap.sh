#!/usr/bin/env bash
# amigen 0.1.0: makes Amazon Linux 2023 ready for kube-proxy in nftables mode. The steps are in `main`, at the end.
# Safe to run again: what is as it should be is left alone. The last line of the output says how it ended.
# shellcheck disable=SC2016 # File contents are data: nothing in them is to be expanded.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
umask 022
package_options=()
gated_units=(nodeadm-run.service kubelet.service)
drop_in='# amigen: looked at at each start, also of a job in the queue; stops nothing that runs. The second path is the way out.
[Unit]
Wants=amigen-ready.service
After=amigen-ready.service
AssertPathExists=|/run/amigen-ready
AssertPathExists=|/etc/amigen/ignore-gate
'

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

# Sets `missing` to those of NAME[=VERSION]... that are not installed in this version.
find_missing() {
  local name version
  installed=() missing=()
  while read -r name version; do installed[$name]=$version; done < <(list_installed "${@%%=*}" 2>/dev/null)
  for name in "$@"; do
    version=${installed[${name%%=*}]:-}
    [[ -n $version && ${name#*=} == @("$name"|"$version") ]] || missing+=("$name")
  done
}

# Sets `left` to the seconds that are left, by the time since boot: a first boot may set the clock.
time_left() {
  read -r left _ </proc/uptime
  left=$((deadline - ${left%.*}))
}

# The first cause and the last error in what a package manager said.
why_in() {
  local cause error
  cause=$(grep -m 1 -oE '(Failed to fetch|Release file|The repository|Curl error|Status code|Could not get lock|No space|dpkg: error).*' "$1") || cause=''
  error=$(grep -E '^(E:|[Ee]rror)' "$1" | tail -n 1) || error=$(tail -n 1 "$1")
  printf '%.400s' "$cause${cause:+; }${error:-no message}"
}

# ensure_packages SECONDS NAME[=VERSION]...: at a first boot, the network, the mirror and the lock may need time.
ensure_packages() {
  local deadline=0 left missing code delay=2 why out=$run_dir/packages.log limit=$1
  shift
  find_missing "$@"
  ((${#missing[@]})) || return 0
  step="install ${missing[*]}"
  log "installing ${missing[*]}"
  unfinished
  time_left
  deadline=$((limit - left))
  while :; do
    code=0
    install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
    # A package manager also fails for a source or package of somebody else: what counts is what is there.
    find_missing "$@"
    ((${#missing[@]})) || break
    tail -n 12 "$out" | grep '' | sed 's/^/  | /' >&7 || true
    ((code)) || fail "installed, but the package database has no ${missing[*]}: is that the package's name?"
    why=$(why_in "$out")
    ((code != 124 && code != 137)) || why="it was still at work when its time was over ($(tail -n 1 "$out"))"
    time_left
    ((left > delay + 10)) || fail "cannot install ${missing[*]} within $limit s: $why"
    log "that did not work ($why); again in $delay s"
    bounded 0 sleep "$delay"
    ((delay > 20)) || delay=$((delay * 2))
  done
  changes=$((changes + 1))
}

list_installed() {
  rpm -q --qf 'installed %{NAME} %{EVR}\n' "$@" | sed -n 's/^installed //p'
}

install_packages() {
  time_left
  ((left > 0)) || return 124
  # A repository that is down is left out: the package may come from another.
  bounded "$left" dnf -y '--setopt=*.skip_if_unavailable=True' --setopt=install_weak_deps=False --setopt=retries=2 \
    --setopt=timeout=20 "${package_options[@]}" install "${@/=/-}"
}

# package_with_module MODULE KERNEL: of exactly this kernel, so that it is not upgraded by the way.
package_with_module() {
  local found
  found=$(timeout 120 dnf -q "${package_options[@]}" repoquery --whatprovides "*/$2/*/$1.ko*" --qf '%{name}-%{evr}\n' 2>/dev/null | grep . | sort -u | paste -sd' ') || true
  printf %s "${found:+install }${found:-no package of the repositories here has it for the kernel $2}"
}

# In AWS's order; amigen passes no --releasever.
releasever() {
  cat /etc/dnf/vars/releasever 2>/dev/null || rpm -q --qf '%{VERSION}' system-release || true
}

# check_kernels MODULE...: every kernel that may boot has each module with all that it depends on, or has it built in.
# What a removed kernel has left has no modules.builtin.
check_kernels() {
  local dir module name file kernel
  for dir in /lib/modules/*/modules.builtin; do
    dir=${dir%/*} kernel=${dir##*/}
    for module in "$@"; do
      [[ -f $dir/modules.dep ]] || continue
      name="/${module//[-_]/[-_]}\.ko"
      if grep -q "$name" "$dir/modules.builtin"; then continue; fi
      file=$(grep "^[^:]*${name}[^:]*:" "$dir/modules.dep") ||
        fail "the kernel $kernel has no module $module: $(package_with_module "$module" "$kernel")"
      for file in ${file/:/}; do
        [[ -e $dir/$file || -e $file ]] || fail "the kernel $kernel lacks $file, which $module needs: $(package_with_module "$module" "$kernel")"
      done
    done
  done
}

# refuse LINE PLACE WHY: a line of modprobe's effective configuration, kernel command line included (a container has that of
# its host), and where it is written.
refuse() {
  local line place
  line=$(modprobe -c 2>/dev/null | grep -E "$1") || return 0
  place=$(grep -rnE "$2" /{etc,run,usr/local/lib,lib}/modprobe.d 2>/dev/null | head -n 1 | cut -d: -f1,2) || true
  if [[ -z $place && -n ${AMIGEN_NO_KERNEL:-} ]]; then return 0; fi
  fail "${place:-the kernel command line} says \"${line%%$'\n'*}\": $3"
}

# Sets `missing` to the modules that are neither loaded nor built in.
find_unloaded() {
  local module
  missing=()
  for module in "${@//-/_}"; do
    [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$(uname -r)/modules.builtin" || missing+=("$module")
  done
}

load_modules() {
  local missing said names wanted
  step='load modules'
  check_kernels "$@"
  # modprobe would load these now, and systemd-modules-load not at the next boot.
  names=$(IFS='|' && echo "${*//[-_]/[-_]}")
  refuse "^(blacklist|install) ($names)( |$)" "^\s*(blacklist|install)\s+($names)(\s|$)" 'the module would not be loaded at boot'
  [[ $(readlink -f {/etc,/run}/systemd/system/systemd-modules-load.service) != */dev/null* ]] ||
    fail 'systemd-modules-load.service is masked, and would load nothing at boot: unmask it'
  if [[ -n ${AMIGEN_NO_KERNEL:-} ]]; then return 0; fi
  find_unloaded "$@"
  ((${#missing[@]})) || return 0
  wanted=${missing[*]}
  said=$(modprobe -a "${missing[@]}" 2>&1) || true
  find_unloaded "$@"
  ((!${#missing[@]})) || fail "cannot load ${missing[*]}: ${said##*$'\n'} (does the kernel $(uname -r) load modules?)"
  changes=$((changes + 1))
  log "loaded $wanted"
}

# hold_units [install]: writes the drop-ins; in /run, until the next boot, where there is no gate yet. They stop nothing.
# A chroot has no systemd, nor is it to look so.
hold_units() {
  local unit path
  for unit in "${gated_units[@]}"; do
    path=/etc/systemd/system/$unit.d/10-amigen-ready.conf
    [[ -n ${1:-} || -e $path ]] || path=/run/${path#/etc/}
    [[ $path == /etc/* || -d /run/systemd/system ]] || continue
    [[ ! -f $path || $(<"$path")$'\n' != "$drop_in" ]] || continue
    # The gate of 0.1 is open while its unit is active, this one while the folder is there.
    if [[ -e $path ]] && systemctl is-active -q amigen-ready; then mkdir -p /run/amigen-ready; fi
    if ! mkdir -p "${path%/*}" || ! printf %s "$drop_in" >"$path.new" || ! mv -fT "$path.new" "$path"; then
      rm -f "$path.new" || true
      fail "cannot write $path: not root, or is the disk full or read-only?"
    fi
    [[ $path == /run/* ]] || changes=$((changes + 1))
  done
  # Also where the last run was killed before systemd read them.
  if [[ -d /run/systemd/system && $(systemctl show -p NeedDaemonReload amigen-ready "${gated_units[@]}") == *=yes* ]]; then systemctl daemon-reload; fi
}

# Jobs that wait for cloud-init stay in the queue.
stop_gate() {
  [[ -d /run/systemd/system ]] || return 0
  systemctl stop --job-mode=ignore-requirements amigen-ready.service 2>/dev/null || true
  rm -rf /run/amigen-ready
}

look_at_unit() {
  read -r pid restarts < <(systemctl show "$1" -p MainPID -p NRestarts | sort | sed 's/.*=//' | paste -sd' ')
}

# After a failure. A kubelet that crash-loops does not run; one that was started again once may.
close_gate() {
  local unit pid restarts before
  [[ -d /run/systemd/system ]] || return 0
  for unit in "${gated_units[@]}"; do
    [[ $(systemctl is-active "$unit") == activ* ]] || continue
    look_at_unit "$unit"
    before=$restarts
    sleep 3
    look_at_unit "$unit"
    if ((restarts < 2 || (pid && restarts == before))); then
      log "$unit runs and is left alone; after a reboot it waits for a run that ends well"
      return
    fi
  done
  stop_gate
}

install_gate() {
  local wants=/etc/systemd/system/multi-user.target.wants
  step='install the gate'
  write_gate
  if [[ ! -L $wants/amigen-ready.service ]]; then
    unfinished
    if ! mkdir -p "$wants" || ! ln -sft "$wants" ../amigen-ready.service; then fail 'cannot enable amigen-ready.service'; fi
    changes=$((changes + 1))
  fi
  hold_units install
}

open_gate() {
  [[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
  step='open the gate'
  if ((changes == 0)) && systemctl is-active -q amigen-ready; then return 0; fi
  bash /usr/local/lib/amigen/ready || fail 'the node is not ready; the line above says why'
  systemctl restart amigen-ready
}

# write_release JSON PACKAGE...: JSON is what was known when this script was made, without its end.
write_release() {
  local head=$1 old=$release there='' name packages='' kernel=''
  shift
  [[ -e $old ]] || old=$release.unfinished
  if ((changes == 0)) && [[ -f $old && $(<"$old") == "$head,"* ]]; then
    [[ $old == "$release" ]] || mv -fT "$old" "$release"
    return 0
  fi
  if declare -F releasever >/dev/null; then head+=",
  \"releasever\": \"$(releasever)\""; fi
  for name in "$@"; do packages+="${packages:+, }\"$name\": \"${installed[$name]:-}\""; done
  [[ -n ${AMIGEN_NO_KERNEL:-} ]] || kernel=$(uname -r)
  TZ=UTC0 printf -v there '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%(%FT%TZ)T"\n}\n' "$head" "$kernel" "$packages" -1
  put_file "$release" 644 root:root "$there"
  rm -f "$release.unfinished"
}

write_gate() {
  put_file /usr/local/lib/amigen/ready 755 root:root '#!/usr/bin/env bash
# amigen: is this node ready for kube-proxy in nftables mode?
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
not_ready() {
  echo "amigen-ready: this node is NOT ready: $*" >&2
  exit 1
}
if [[ ${1:-} == start-held ]]; then
  # What was to start while the node was not ready starts now: systemd knows whose assertion failed.
  for unit in nodeadm-run.service kubelet.service; do
    said=$(systemctl show "$unit" -p ActiveState -p AssertResult -p AssertTimestampMonotonic)
    if [[ $said == *=inactive* && $said == *=no* && $said == *Monotonic=[1-9]* ]]; then systemctl start --no-block "$unit" || true; fi
  done
  exit
fi
if [[ -s /run/amigen/failed ]]; then not_ready "the bootstrap failed: $(</run/amigen/failed)"; fi
[[ -s /etc/amigen/release.json ]] || not_ready '\''the bootstrap has not run to its end (see /var/log/cloud-init-output.log)'\''
for module in nf_tables nf_conntrack; do
  module=${module//-/_}
  [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$(uname -r)/modules.builtin" ||
    not_ready "the module $module is not loaded (systemctl status systemd-modules-load; modprobe $module)"
done
echo '\''amigen-ready: this node is ready for kube-proxy in nftables mode'\''
'
  put_file /etc/systemd/system/amigen-ready.service 644 root:root '[Unit]
Description=Node is ready for kube-proxy in nftables mode (amigen)
After=systemd-modules-load.service systemd-sysctl.service local-fs.target
Before=nodeadm-run.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
# What the units that wait for this one assert.
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

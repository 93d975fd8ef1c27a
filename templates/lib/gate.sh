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

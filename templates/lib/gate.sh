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

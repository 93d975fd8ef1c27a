# What runs, or is about to, is left alone.
units_run() {
  [[ $'\n'$(systemctl is-active "${gated_units[@]}") == *$'\n'activ* ]]
}

# Before there is a gate, its units are held by a drop-in that the gate's own one, of the same name, takes the place of.
hold_units() {
  local unit dir reload=''
  if [[ ! -e $release ]]; then stale=1; fi
  [[ -d /run/systemd/system ]] || return 0
  for unit in "${gated_units[@]}"; do
    dir=systemd/system/$unit.d
    [[ ! -e /etc/$dir/10-amigen-ready.conf && ! -e /run/$dir/10-amigen-ready.conf ]] || continue
    mkdir -p "/run/$dir" || fail 'this needs root'
    printf '[Unit]\nAssertPathExists=%s\n' "$release" >"/run/$dir/10-amigen-ready.conf"
    reload=1
  done
  if [[ -n $reload ]]; then systemctl daemon-reload; fi
}

# Without its requirements: jobs that wait for cloud-init stay in the queue, and fail if the gate is still closed then.
close_gate() {
  [[ -d /run/systemd/system ]] || return 0
  units_run || systemctl stop --job-mode=ignore-requirements amigen-ready.service 2>/dev/null || true
}

# The gate stands before anything else is done, so that a run that fails at once fails closed. systemd reads it also where
# the last run did not end: it may have been killed before that.
install_gate() {
  local before=$changes wants=/etc/systemd/system/multi-user.target.wants
  step='install the gate'
  write_gate
  if [[ ! -L $wants/amigen-ready.service ]]; then
    unfinished
    if ! mkdir -p "$wants" || ! ln -sfT ../amigen-ready.service "$wants/amigen-ready.service"; then fail 'cannot enable amigen-ready.service'; fi
    changes=$((changes + 1))
  fi
  if [[ -n $stale || $changes != "$before" ]] && [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

open_gate() {
  [[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
  step='open the gate'
  if ((changes == 0)) && systemctl is-active --quiet amigen-ready.service; then return 0; fi
  rm -f "$run_dir/failed"
  bash /usr/local/lib/amigen/ready || fail 'the node is not ready; the line above says why'
  systemctl start amigen-ready.service
}

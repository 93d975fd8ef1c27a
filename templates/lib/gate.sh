# A unit that waits for the gate and is not running yet must not start after a failed bootstrap; one that runs is left alone.
close_gate() {
  [[ -d /run/systemd/system ]] || return 0
  if ! systemctl is-active --quiet "${gated_units[@]}"; then systemctl stop amigen-ready.service; fi
}

# The gate stands before anything else is done, so that a run that fails at once fails closed.
install_gate() {
  local before=$changes wants=/etc/systemd/system/multi-user.target.wants
  step='install the gate'
  write_gate
  if [[ ! -L $wants/amigen-ready.service ]]; then
    if ! mkdir -p "$wants" || ! ln -sfT ../amigen-ready.service "$wants/amigen-ready.service"; then fail 'cannot enable amigen-ready.service'; fi
    changes=$((changes + 1))
  fi
  if ((changes > before)) && [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

open_gate() {
  [[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
  step='open the gate'
  if ((changes == 0)) && systemctl is-active --quiet amigen-ready.service; then return 0; fi
  bash /usr/local/lib/amigen/ready --bootstrap || fail 'the node is not ready; the line above says why'
  systemctl start amigen-ready.service
}

# The EKS images of Canonical join by this script; on another image nothing can. It starts kubelet anew, so that it is not
# run again with the same arguments.
join_cluster() {
  local sum stamp=$state_dir/joined.sha256
  step='join the cluster'
  sum=$(printf '%s\0' "$@" | sha256sum)
  if file_is "$stamp" "$sum"$'\n'; then return 0; fi
  [[ -x /etc/eks/bootstrap.sh ]] || fail '/etc/eks/bootstrap.sh is not here: this is not an EKS image'
  log 'running /etc/eks/bootstrap.sh'
  unfinished
  attended /etc/eks/bootstrap.sh "$@" || fail "/etc/eks/bootstrap.sh ended with code $?"
  if ! mv -fT "$release.unfinished" "$release" || ! printf '%s\n' "$sum" >"$stamp.new" || ! mv -f "$stamp.new" "$stamp"; then
    fail "cannot write $release and $stamp"
  fi
  changes=$((changes + 1))
}

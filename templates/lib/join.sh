# The EKS images of Canonical join by this script; on another image nothing can.
join_cluster() {
  step='join the cluster'
  [[ -x /etc/eks/bootstrap.sh ]] || fail '/etc/eks/bootstrap.sh is not here: this is not an EKS image'
  /etc/eks/bootstrap.sh "$@" 8>&- 9>&- || fail "/etc/eks/bootstrap.sh ended with code $?"
}

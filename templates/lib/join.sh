# The EKS images of Canonical join by this script. It starts kubelet anew: only once with the same arguments.
join_cluster() {
	local sum code=0 stamp=$state/joined.sha256
	sum=$(printf '%s\0' "$@" | sha256sum)
	[[ -f $stamp && $(<"$stamp") == "$sum" ]] && return
	[[ -x /etc/eks/bootstrap.sh ]] || fail '/etc/eks/bootstrap.sh is not here: this is not an EKS image'
	step='join the cluster'
	mv -f "$release" "$state/joining.json"
	# It starts kubelet: the gate is open until it ends; on_exit closes it, too.
	new=/run/amigen/open
	: >"$new"
	log 'running /etc/eks/bootstrap.sh'
	((changes += 1))
	bounded 0 /etc/eks/bootstrap.sh "$@" || code=$?
	((code == 0)) || fail "/etc/eks/bootstrap.sh ended with code $code"
	echo "$sum" >"$stamp" || fail "cannot write $stamp: is the disk full?"
	mv -f "$state/joining.json" "$release"
	rm -f "$new"
}

"""kube-proxy of a cluster: what it is, what it should be, and the way there and back."""

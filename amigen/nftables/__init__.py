"""The nftables table of kube-proxy: read, and compared with what the cluster needs. Pure."""

"""The kernel's IPVS table: read from listings and compared with what kube-proxy should have made of a cluster. Pure."""

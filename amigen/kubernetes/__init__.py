"""The Kubernetes API of one cluster: kubeconfig, credentials, requests, and the kinds of objects that are asked for."""

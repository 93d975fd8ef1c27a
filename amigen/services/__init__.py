"""Services and EndpointSlices as kube-proxy reads them, the same for every mode. Pure."""

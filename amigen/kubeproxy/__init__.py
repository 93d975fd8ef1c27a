"""kube-proxy of a cluster: what it is, what it should be, and the way there and back.

The commands call `session`, which observes, plans, applies and proves; `show` makes text and JSON of what comes out.

* What kube-proxy takes: `fields` (kinds and rules of KubeProxyConfiguration), `settings` (what the user wants),
  `config` (the text in a ConfigMap, edited in place), `versions` (modes and feature gates of one version).
* What there is: `daemonset` (pods, nodes, pools), `node_facts` (one node, asked once), `addon` (the EKS add-on),
  `detect` (who manages the configuration), `observe` (all of it, and the mode of each node).
* A change: `readiness` of nodes, `warnings`, `change` (the plan, and what a way to the configuration can do), `ways`
  (the add-on and the ConfigMap), `plan` (makes one), `saved` (what was there before), `apply` (carries it out).
* The proof: `status` (a node against the cluster), `watch` (until nothing differs), `health` (the cluster as a whole).
* The way to nftables: `nftables_mapping` (each setting), `migrate` (the steps, and the image spec).
"""

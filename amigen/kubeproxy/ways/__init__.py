"""The two ways to change kube-proxy's configuration: the EKS add-on, or the ConfigMap alone."""

from amigen.kubeproxy.detect import WayName
from amigen.kubeproxy.ways.addon import AddonWay
from amigen.kubeproxy.ways.configmap import ConfigMapWay
from amigen.kubeproxy.ways.way import Way

WAYS: dict[WayName, Way] = {"addon": AddonWay(), "configmap": ConfigMapWay()}

__all__ = ["WAYS", "Way"]

"""The two ways to change kube-proxy's configuration: the EKS add-on, or the ConfigMap alone."""

from collections.abc import Callable

from amigen.kubeproxy.change import Way
from amigen.kubeproxy.detect import WayName
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.ways.addon import AddonWay
from amigen.kubeproxy.ways.configmap import ConfigMapWay

WAYS: dict[WayName, Callable[[Observed], Way]] = {"addon": AddonWay, "configmap": ConfigMapWay}

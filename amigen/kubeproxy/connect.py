"""The cluster of a kubeconfig, chosen as kubectl does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amigen.base.errors import InputError
from amigen.kubeproxy.cluster import Cluster
from amigen.kubeproxy.credentials import guarded, heard, impersonation, plugin_failed

# What stands for name and context where the pod's own account is used.
IN_CLUSTER = "in-cluster"


def connect(kubeconfig: str | None = None, context: str | None = None) -> Cluster:
    """The cluster of a kubeconfig's context, chosen as kubectl does.

    In this order: the option, `$KUBECONFIG` (several files are merged), `~/.kube/config`, the pod's own account.

    Raises:
        InputError: No kubeconfig, not readable, no such context, or its exec plugin gives no credentials.
    """
    import urllib3
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    # A kubeconfig that says insecure-skip-tls-verify says it on purpose; kubectl does not warn at each call either.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    configuration = Configuration()
    files = [kubeconfig] if kubeconfig else os.environ.get("KUBECONFIG", "").split(os.pathsep)
    files = [str(Path(file).expanduser()) for file in files if file] or [str(Path("~/.kube/config").expanduser())]
    present = [file for file in files if Path(file).is_file()]
    if not present:
        if not kubeconfig and not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            return Cluster(ApiClient(configuration), name=IN_CLUSTER, context=IN_CLUSTER)
        raise InputError(
            f"no kubeconfig: {', '.join(files)} is not there",
            "name one with --kubeconfig or $KUBECONFIG; for EKS, `aws eks update-kubeconfig --name CLUSTER` writes it",
        )
    source = os.pathsep.join(present)
    try:
        contexts, active = config.list_kube_config_contexts(config_file=source)  # type: ignore[no-untyped-call]
        chosen = next((one for one in contexts if one["name"] == context), None) if context else active
        if chosen is None:
            names = ", ".join(sorted(one["name"] for one in contexts))
            raise InputError(f"{source}: no context {context!r}", f"there are: {names or 'none'}")
        user = _user(source, str(chosen["context"].get("user") or ""))
        with heard() as said:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=source, context=chosen["name"], client_configuration=configuration
            )
        if "exec" in user and not configuration.api_key and not configuration.cert_file:
            raise plugin_failed(source, user, said)
        configuration.refresh_api_key_hook = guarded(  # type: ignore[assignment]
            configuration.refresh_api_key_hook, source, user
        )
        headers = impersonation(source, user)
    except InputError:
        raise
    except Exception as error:
        # The library raises its own ConfigException and whatever YAML, base64 or certificates raise below it.
        raise InputError(
            f"{source}: not a usable kubeconfig: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "does `kubectl config view` read it?",
        ) from None
    name, context = str(chosen["context"]["cluster"]), str(chosen["name"])
    return Cluster(ApiClient(configuration), name=name, context=context, headers=headers)


def _user(source: str, name: str) -> Mapping[str, Any]:
    """The user of a kubeconfig, as it stands there."""
    from kubernetes.config.kube_config import KubeConfigMerger

    merged = KubeConfigMerger(source).config.value  # type: ignore[no-untyped-call]
    user = next((one.value.get("user") for one in merged["users"] if one.value.get("name") == name), None)
    return user if isinstance(user, Mapping) else {}

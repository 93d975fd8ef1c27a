"""The EKS add-on through boto3, against a local server that answers by botocore's service model (a stand-in)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amigen.aws.session import Aws, AwsOptions
from amigen.base import waiting
from amigen.base.errors import AwsError, ConflictError, InputError, RefusedError
from amigen.kubeproxy import addon as addon_module
from amigen.kubeproxy.addon import Addon, AddonState, merged, validate
from amigen.kubeproxy.detect import choose, detect
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.ways.addon import AddonWay
from tests.kubeproxy import samples
from tests.real.eks_server import SCHEMA, EksServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EksServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with EksServer() as found:
        yield found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of waits moves only when somebody waits."""
    now = [0.0]
    monkeypatch.setattr(
        waiting,
        "time",
        SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)),
    )


def an_addon(server: EksServer, cluster: str = "prod") -> Addon:
    return Addon(Aws(AwsOptions(endpoint_url=server.url)), cluster, "eu-central-1")


def say(_: str) -> None:
    return


def test_read(server: EksServer) -> None:
    """Version, values and status."""
    assert an_addon(server).read() == AddonState(
        version="v1.33.3-eksbuild.4", values='{"podLabels": {"team": "net"}}', status="ACTIVE"
    )


def test_no_addon_is_none_and_no_cluster_is_an_error(server: EksServer) -> None:
    """EKS uses one error for both."""
    server.state.addon = False

    assert an_addon(server).read() is None
    with pytest.raises(AwsError, match="No cluster found for name: other"):
        an_addon(server, "other").read()


def test_merge_keeps_other_settings() -> None:
    """What the user configured besides stays, JSON or YAML."""
    settings = Settings(mode="ipvs", fields={"ipvs.scheduler": "lc"})
    expected = {"mode": "ipvs", "ipvs": {"scheduler": "lc"}, "podLabels": {"team": "net"}}

    for text in ('{"podLabels": {"team": "net"}}', "podLabels:\n  team: net\n"):
        assert json.loads(merged(text, settings)) == expected
    assert json.loads(merged("", settings))["mode"] == "ipvs"


@pytest.mark.parametrize("values", ["[1]", "{", "just text", "a: b: c"])
def test_values_that_cannot_be_read(values: str) -> None:
    """They are an error, never overwritten."""
    with pytest.raises(InputError):
        merged(values, Settings(mode="ipvs"))


@pytest.mark.parametrize(
    ("fields", "path"),
    [({"ipvs.tcpTimeout": "900s"}, "tcpTimeout"), ({"ipvs.strictARP": True}, "strictARP"),
     ({"ipvs.syncPeriod": "10s"}, "syncPeriod")],
)  # fmt: skip
def test_what_the_schema_cannot_express_is_refused(fields: dict[str, Any], path: str) -> None:
    """Before anything is changed, with the other way."""
    values = merged("", Settings(mode="ipvs", fields=fields))

    with pytest.raises(RefusedError) as caught:
        validate(values, SCHEMA, "v1", "the other way")

    assert path in caught.value.message
    assert caught.value.hint == "the other way"


def test_a_mode_that_the_schema_does_not_know_is_refused() -> None:
    """Old add-ons know no nftables; a later one may know no ipvs: the published schema decides."""
    schema = json.loads(json.dumps(SCHEMA).replace('"ipvs", "nftables"', '"ipvs"'))

    with pytest.raises(RefusedError, match="'nftables' is not one of"):
        validate('{"mode": "nftables"}', schema, "v1", "")


def test_a_broken_schema_is_an_error() -> None:
    """EKS would have to publish one that is none."""
    with pytest.raises(AwsError, match="not a valid JSON schema"):
        validate("{}", {"$schema": SCHEMA["$schema"], "type": 7}, "v1", "")


def test_update_is_followed_to_its_end(server: EksServer) -> None:
    """InProgress twice, then done; the call has values and the way of conflicts."""
    server.state.polls = 2
    addon = an_addon(server)
    lines: list[str] = []

    addon.follow(addon.update('{"mode": "ipvs"}', "PRESERVE"), seconds=60, say=lines.append)

    assert lines[-1].endswith("Successful")
    assert len(lines) == 3
    name, given = next(call for call in server.state.calls if call[0] == "UpdateAddon")
    assert (name, given["resolveConflicts"], given["configurationValues"]) == (
        "UpdateAddon", "PRESERVE", '{"mode": "ipvs"}'
    )  # fmt: skip


def test_a_failing_update_is_explained(server: EksServer) -> None:
    """Each error with code, resources and what to do."""
    server.state.outcome = "Failed"
    server.state.errors = [
        {
            "errorCode": "ConfigurationConflict",
            "errorMessage": "Conflicts found",
            "resourceIds": ["ConfigMap.kube-proxy"],
        },
        {"errorCode": "InsufficientNumberOfReplicas", "errorMessage": "2 of 5 ready"},
    ]
    addon = an_addon(server)

    with pytest.raises(AwsError) as caught:
        addon.follow(addon.update("{}", "NONE"), seconds=60, say=say)

    for part in ("update-1: Failed", "ConfigurationConflict: Conflicts found (ConfigMap.kube-proxy)",
                 "--resolve-conflicts OVERWRITE", "2 of 5 ready"):  # fmt: skip
        assert part in caught.value.message


def test_a_cancelled_update_and_one_that_never_ends(server: EksServer) -> None:
    """Both are errors; the second names the call to look again."""
    addon = an_addon(server)
    server.state.outcome = "Cancelled"
    with pytest.raises(AwsError, match=r"update-1: Cancelled$"):
        addon.follow(addon.update("{}", "NONE"), seconds=60, say=say)

    server.state.polls = 10**6
    with pytest.raises(AwsError, match="still InProgress after 30 s") as caught:
        addon.follow(addon.update("{}", "NONE"), seconds=30, say=say)
    assert "aws eks describe-update" in caught.value.hint


def test_another_update_under_way_is_a_conflict(server: EksServer) -> None:
    """ResourceInUseException."""
    server.state.busy = True

    with pytest.raises(ConflictError, match="another update of kube-proxy is under way"):
        an_addon(server).update("{}", "NONE")


@pytest.mark.parametrize("call", ["DescribeAddon", "UpdateAddon", "DescribeAddonConfiguration", "DescribeUpdate"])
def test_missing_iam_rights_name_the_action(server: EksServer, call: str) -> None:
    """The message has the IAM action, the hint where the policy comes from."""
    server.state.denied = {call}
    addon = an_addon(server)

    def use() -> None:
        addon.read()
        addon.schema("v1.33.3-eksbuild.4")
        addon.follow(addon.update("{}", "NONE"), seconds=60, say=say)

    with pytest.raises(AwsError) as caught:
        use()

    assert f"eks:{call} in eu-central-1 for add-on kube-proxy of cluster prod" in caught.value.message
    assert "iam-policy" in caught.value.hint


def test_server_gone(server: EksServer) -> None:
    """No answer at all."""
    addon = an_addon(server)
    server.__exit__()

    with pytest.raises(AwsError, match="DescribeAddon"):
        addon.read()


def test_detection(server: EksServer) -> None:
    """EKS is asked where it can be; without a name the field manager decides."""
    config_map = samples.config_map(manager="eks")
    eks = "https://ABC.gr7.eu-central-1.eks.amazonaws.com"

    assert detect(an_addon(server), config_map, server=eks).way == "addon"
    server.state.addon = False
    assert detect(an_addon(server), config_map, server=eks).way == "configmap"
    assert detect(None, samples.config_map(manager="kubeadm"), server="https://10.0.0.1").way == "configmap"


def test_detection_where_eks_cannot_be_asked(server: EksServer) -> None:
    """Then the field manager decides, unless the user named the cluster; a change through the add-on needs EKS."""
    server.state.denied = {"DescribeAddon"}

    by_eks = detect(an_addon(server), samples.config_map(manager="eks"), server="")
    assert (by_eks.way, by_eks.addon) == ("addon", None)
    assert "field manager eks" in by_eks.evidence
    assert detect(None, samples.config_map(manager="eks"), server="").way == "addon"
    assert detect(an_addon(server), samples.config_map(manager="kubeadm"), server="").way == "configmap"
    with pytest.raises(AwsError, match="AccessDenied"):
        detect(an_addon(server), samples.config_map(), server="", strict=True)
    with pytest.raises(AwsError, match="EKS could not be asked"):
        AddonWay(cast(Any, SimpleNamespace(managed=by_eks)))


@pytest.mark.parametrize(
    "url",
    ["https://ABC.gr7.eu-central-1.eks.amazonaws.com", "https://ABC.eu-central-1.api.aws:443/",
     "https://ABC.sk1.cn-north-1.eks.amazonaws.com.cn", "https://ABC.cn-north-1.api.amazonwebservices.com.cn"],
)  # fmt: skip
def test_eks_that_was_not_asked_is_not_written_to(server: EksServer, url: str) -> None:
    """Without a name, or without rights: the ConfigMap only by an explicit request. Elsewhere nobody has to say so."""
    server.state.denied = {"DescribeAddon"}
    config_map = samples.config_map(manager="kubectl-edit")

    for managed in (detect(None, config_map, server=url), detect(an_addon(server), config_map, server=url)):
        with pytest.raises(RefusedError, match="whether its add-on manages kube-proxy is not known") as caught:
            choose(managed, "auto", despite_addon=False)
        assert "--cluster-name" in caught.value.hint
        assert choose(managed, "configmap", despite_addon=False) == "configmap"
    elsewhere = detect(None, config_map, server="https://api.example.com")
    assert choose(elsewhere, "auto", despite_addon=False) == "configmap"


def test_the_addon_is_not_fought(server: EksServer) -> None:
    """--by configmap is refused with the way out, unless on purpose; --by addon without add-on likewise."""
    managed = detect(an_addon(server), samples.config_map(), server="")

    with pytest.raises(RefusedError) as caught:
        choose(managed, "configmap", despite_addon=False)
    assert "aws eks delete-addon --cluster-name prod --addon-name kube-proxy --preserve" in caught.value.hint
    assert choose(managed, "configmap", despite_addon=True) == "configmap"
    server.state.addon = False
    with pytest.raises(RefusedError, match="does not manage"):
        choose(detect(an_addon(server), samples.config_map(), server=""), "addon", despite_addon=False)


def test_poll_interval_is_kind_to_the_api() -> None:
    """EKS throttles DescribeUpdate."""
    assert addon_module._POLL_SECONDS >= 5

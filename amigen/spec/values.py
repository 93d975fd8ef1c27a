"""The values of a spec as types: what a name, a path, a version or an account looks like.

Constraints are part of the types, so that the JSON Schema and the loader cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from amigen.knowledge import Architecture as Architecture
from amigen.knowledge import ProxyMode as ProxyMode
from amigen.knowledge import Scheduler as Scheduler
from amigen.platforms import PLATFORMS


def _text(pattern: str, description: str, **limits: Any) -> Meta:
    # For the JSON Schema and the reader: `Meta(pattern=...)` also matches before a newline at the end.
    return Meta(description=description, extra_json_schema={"pattern": pattern}, **limits)


if TYPE_CHECKING:
    Platform: TypeAlias = str
else:
    Platform = Literal[tuple(PLATFORMS)]

Name = Annotated[str, _text(r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$", "1 to 48 lower-case letters, digits and `-`")]
KubernetesVersion = Annotated[str, _text(r"^1\.[1-9][0-9]?$", '`"MAJOR.MINOR"`, in quotes')]
# To apt, `NAME-` means: remove it.
PackageName = Annotated[str, _text(r"^[A-Za-z0-9]([A-Za-z0-9+._-]{0,126}[A-Za-z0-9+._])?$", "the name of a package")]
PackageVersion = Annotated[
    str, _text(r"^[A-Za-z0-9][A-Za-z0-9.+:~^_-]{0,127}$", "the version as the package manager prints it")
]
ModuleName = Annotated[str, _text(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,54}$", "the name of a kernel module")]
SysctlKey = Annotated[
    str,
    _text(
        r"^[a-z0-9_][a-z0-9_-]*([./][A-Za-z0-9_@-]+)+$",
        "a kernel parameter such as `net.core.somaxconn`",
        max_length=200,
    ),
]
# No newline: a value with one would be a second setting.
SysctlValue = Annotated[str, _text(r"^[!-~][ -~\t]{0,254}$", "the value, in quotes if it is text")]
AbsolutePath = Annotated[
    str,
    _text(
        r"^(/[^/\x00-\x1f\x7f-\x9f]+)+$",
        "an absolute path without `//`, control characters or a slash at the end",
        max_length=1024,
    ),
]
UserName = Annotated[str, _text(r"^([a-z_][a-z0-9_-]{0,30}|0|[1-9][0-9]{0,8})$", "a user or group, by name or number")]
FileMode = Annotated[str, _text(r"^[0-7]{3,4}$", 'permission bits in octal and in quotes, such as `"0644"`')]
HookName = Annotated[str, _text(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", "1 to 40 lower-case letters, digits and `-`")]
Script = Annotated[str, Meta(min_length=1, max_length=65536, description="the script's text")]
# Credentials (user:password@) are refused by the pattern: user data can be read by every process of the instance.
Url = Annotated[
    str,
    _text(
        r"^((https?|ftp)://[A-Za-z0-9\[]|file:///)[A-Za-z0-9._~:/?&=%+,;!*()\[\]-]*$",
        "a URL without user and password",
        max_length=2048,
    ),
]
ProxyUrl = Annotated[
    str, _text(r"^https?://[A-Za-z0-9.\[\]:-]+/?$", "`http://HOST:PORT`, without user and password", max_length=512)
]
HttpsUrl = Annotated[
    str, _text(r"^https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$", "an `https://` URL", max_length=512)
]
NoProxyEntry = Annotated[
    str, _text(r"^[A-Za-z0-9.*:/_-]+$", "a host, a domain such as `.internal`, or a CIDR", max_length=255)
]
Base64 = Annotated[str, _text(r"^[A-Za-z0-9+/]+={0,2}$", "base64 in one line", min_length=4, max_length=131072)]
Cidr = Annotated[str, _text(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", "an address range such as `10.100.0.0/16`", max_length=64)]
ClusterName = Annotated[
    str,
    _text(
        r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", "1 to 100 letters, digits, `-` and `_`, starting with a letter or digit"
    ),
]
LabelKey = Annotated[
    str,
    _text(
        r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",
        "a Kubernetes label key",
    ),
]
LabelValue = Annotated[
    str,
    _text(
        r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
        "a Kubernetes label value, in quotes if it is a number or true/false",
    ),
]
# No space: flags reach the kubelet through an environment file, where white space separates them.
KubeletFlag = Annotated[
    str, _text(r"^--[a-z][a-z0-9-]*(=[!-~]*)?$", "`--flag=value`, without white space", max_length=1024)
]
Taint = Annotated[
    str,
    _text(
        r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?(=[A-Za-z0-9._-]{0,63})?:(NoSchedule|PreferNoSchedule|NoExecute)$",
        "`KEY[=VALUE]:EFFECT`",
    ),
]
Region = Annotated[str, _text(r"^([a-z]{2}|eusc)(-[a-z]+){1,2}-[1-9][0-9]?$", "an AWS region such as `eu-central-1`")]
InstanceType = Annotated[
    str,
    _text(
        r"^[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9a-z]+)?)$",
        "an EC2 instance type such as `t3.small`",
    ),
]
AmiId = Annotated[str, _text(r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$", "`ami-` and 8 or 17 hexadecimal digits")]
SubnetId = Annotated[str, _text(r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$", "`subnet-` and 8 or 17 hexadecimal digits")]
VpcId = Annotated[str, _text(r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$", "`vpc-` and 8 or 17 hexadecimal digits")]
SecurityGroupId = Annotated[str, _text(r"^sg-([0-9a-f]{8}|[0-9a-f]{17})$", "`sg-` and 8 or 17 hexadecimal digits")]
AccountId = Annotated[str, _text(r"^[0-9]{12}$", "12 digits, in quotes")]
AmiOwner = Annotated[
    str, _text(r"^([0-9]{12}|self|amazon|aws-marketplace)$", "an account, `self`, `amazon` or `aws-marketplace`")
]
KmsKeyId = Annotated[
    str,
    _text(
        r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+|alias/[A-Za-z0-9/_-]+|[0-9a-f-]{36}|mrk-[0-9a-f]{32})$",
        "a KMS key id, alias or ARN",
    ),
]
OrganizationArn = Annotated[
    str,
    _text(r"^arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}$", "the ARN of an organization"),
]
OrganizationalUnitArn = Annotated[
    str,
    _text(
        r"^arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}$",
        "the ARN of an organizational unit",
    ),
]
# AWS: 128 characters, letters, digits, spaces and _ . : / = + - @; the prefix aws: is reserved.
TagKey = Annotated[str, _text(r"^(?![aA][wW][sS]:)[A-Za-z0-9 _.:/=+@-]{1,128}$", "a tag key; `aws:` is reserved")]
TagValue = Annotated[
    str, _text(r"^[A-Za-z0-9 _.:/=+@-]{0,256}$", "a tag value, in quotes if it is a number or true/false")
]
FilterName = Annotated[
    str,
    _text(
        r"^(tag:[A-Za-z0-9 _.:/=+@-]{1,124}|[a-z][a-z0-9.-]{1,63})$", "a filter of EC2 such as `tag:Class` or `vpc-id`"
    ),
]
FilterValue = Annotated[
    str, _text(r"^[A-Za-z0-9 _.:/=+@*?-]{1,255}$", "a value, with `*` and `?`, in quotes if it is a number")
]
# Characters of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html (Name).
AmiName = Annotated[
    str,
    _text(
        r"^([A-Za-z0-9 ()\[\]./'@_-]|\{(name|platform|architecture|build)\}){3,200}$",
        "the name of an AMI, with `{name}`, `{platform}`, `{architecture}` and `{build}`",
    ),
]
InstanceProfile = Annotated[str, _text(r"^[A-Za-z0-9+=,.@_-]{1,128}$", "the name of an instance profile")]
# A price of 0 would mean "no spot instance" to Packer.
SpotPrice = Annotated[
    str,
    _text(
        r"^(auto|0\.[0-9]{0,4}[1-9]|[1-9][0-9]{0,3}(\.[0-9]{1,5})?)$",
        '`auto`, or US dollars an hour, in quotes: `"0.05"`',
    ),
]
IamAction = Annotated[
    str, _text(r"^(\*|[a-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128})$", "an action such as `ssm:UpdateInstanceInformation`")
]
IamResource = Annotated[str, _text(r"^(\*|arn:[!-~]{1,1500})$", "an ARN, with `*` and `?`, or `*` for all resources")]
HostName = Annotated[
    str,
    _text(
        r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45})$",
        "a host name, or an address without brackets",
    ),
]
# With a slash at its end it would be a folder without `dists/`, which has no components.
Suite = Annotated[
    str,
    _text(
        r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,62}[A-Za-z0-9._-])?$", "a suite such as `noble-updates`, a folder of `dists/`"
    ),
]
Component = Annotated[str, _text(r"^[a-z][a-z0-9-]{0,31}$", "a component such as `universe`")]
Sha256 = Annotated[str, _text(r"^[0-9a-f]{64}$", "64 hexadecimal digits")]
AmiNamePattern = Annotated[str, _text(r"^[A-Za-z0-9 ()\[\]./'@_*?-]{3,128}$", "the name of an AMI, with `*` and `?`")]
SourceParameter = Annotated[
    str, _text(r"^/[A-Za-z0-9._/{}-]{1,1010}$", "an SSM parameter such as `/aws/service/...`, with or without `{arch}`")
]
PathText = Annotated[
    str, _text(r"^[^\x00-\x1f\x7f-\x9f]+$", "a path without control characters", min_length=1, max_length=4096)
]
# A systemd service as nodeadm names its drop-in folder: NAME.service.d.
ServiceName = Annotated[
    str,
    _text(
        r"^[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,127}$",
        "`default` for all services, or the name of a systemd service without `.service`",
    ),
]
EnvironmentName = Annotated[str, _text(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", "the name of an environment variable")]
EnvironmentValue = Annotated[
    str,
    _text(r"^[^\x00-\x1f\x7f-\x9f]*$", "text in one line, in quotes if it is a number or true/false", max_length=4096),
]
IpAddress = Annotated[str, _text(r"^[0-9a-fA-F.:]{2,45}$", "an IPv4 or IPv6 address")]
SearchDomain = Annotated[
    str,
    _text(
        r"^(~\.|~?[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)$",
        "a DNS domain, with `~` before it for routing only",
    ),
]
ClusterId = Annotated[str, _text(r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$", "the id of a local cluster on an Outpost")]
PodsExpression = Annotated[
    str, _text(r"^[ -~]{1,1024}$", "a CEL expression with `default_enis`, `ips_per_eni` and `max_pods`")
]

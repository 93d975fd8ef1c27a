"""The values of a spec as types: what a name, a path, a version or an account looks like.

Constraints are part of the types, so that the JSON Schema and the loader cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from msgspec import Meta

from amigen.knowledge import Architecture as Architecture
from amigen.knowledge import ProxyMode as ProxyMode
from amigen.knowledge import Scheduler as Scheduler
from amigen.platforms import PLATFORMS


def _p(pattern: str) -> dict[str, str]:
    """A pattern as the JSON Schema has it. `Meta(pattern=...)` would compile all of them at every start."""
    return {"pattern": pattern}


if TYPE_CHECKING:
    Platform: TypeAlias = str
else:
    Platform = Literal[tuple(PLATFORMS)]

Name: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$"),
        description="1 to 48 lower-case letters, digits and `-`",
    ),
]
KubernetesVersion: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^1\.[1-9][0-9]?$"), description='`"MAJOR.MINOR"`, in quotes')
]
PackageName: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$"), description="the name of a package")
]
PackageVersion: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9][A-Za-z0-9.+:~^_-]{0,127}$"),
        description="the version as the package manager prints it",
    ),
]
ModuleName: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,54}$"), description="the name of a kernel module")
]
SysctlKey: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[a-z0-9_][a-z0-9_-]*([./][A-Za-z0-9_@-]+)+$"),
        max_length=200,
        description="a kernel parameter such as `net.core.somaxconn`",
    ),
]
# No newline: a value with one would be a second setting.
SysctlValue: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^[!-~][ -~\t]{0,254}$"), description="the value, in quotes if it is text")
]
AbsolutePath: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^(/[^/\x00-\x1f\x7f-\x9f]+)+$"),
        max_length=1024,
        description="an absolute path without `//`, control characters or a slash at the end",
    ),
]
UserName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^([a-z_][a-z0-9_-]{0,30}|0|[1-9][0-9]{0,8})$"),
        description="a user or group, by name or number",
    ),
]
FileMode: TypeAlias = Annotated[
    str,
    Meta(extra_json_schema=_p(r"^[0-7]{3,4}$"), description='permission bits in octal and in quotes, such as `"0644"`'),
]
HookName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"),
        description="1 to 40 lower-case letters, digits and `-`",
    ),
]
Script: TypeAlias = Annotated[str, Meta(min_length=1, max_length=65536, description="the script's text")]
# Credentials (user:password@) are refused by the pattern: user data can be read by every process of the instance.
Url: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^(https?|ftp|file)://[A-Za-z0-9._~:/?&=%+,;!*()\[\]-]*$"),
        max_length=2048,
        description="a URL without user and password",
    ),
]
ProxyUrl: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^https?://[A-Za-z0-9.\[\]:-]+/?$"),
        max_length=512,
        description="`http://HOST:PORT`, without user and password",
    ),
]
HttpsUrl: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$"),
        max_length=512,
        description="an `https://` URL",
    ),
]
NoProxyEntry: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9.*:/_-]+$"),
        max_length=255,
        description="a host, a domain such as `.internal`, or a CIDR",
    ),
]
Base64: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9+/]+={0,2}$"),
        min_length=4,
        max_length=131072,
        description="base64 in one line",
    ),
]
Cidr: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"),
        max_length=64,
        description="an address range such as `10.100.0.0/16`",
    ),
]
ClusterName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$"),
        description="1 to 100 letters, digits, `-` and `_`, starting with a letter or digit",
    ),
]
LabelKey: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(
            r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
        ),
        description="a Kubernetes label key",
    ),
]
LabelValue: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"),
        description="a Kubernetes label value, in quotes if it is a number or true/false",
    ),
]
# No space: flags reach the kubelet through an environment file, where white space separates them.
KubeletFlag: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^--[a-z][a-z0-9-]*(=[!-~]*)?$"),
        max_length=1024,
        description="`--flag=value`, without white space",
    ),
]
Taint: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(
            r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?(=[A-Za-z0-9._-]{0,63})?:(NoSchedule|PreferNoSchedule|NoExecute)$"
        ),
        description="`KEY[=VALUE]:EFFECT`",
    ),
]
Region: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^([a-z]{2}|eusc)(-[a-z]+){1,2}-[1-9][0-9]?$"),
        description="an AWS region such as `eu-central-1`",
    ),
]
InstanceType: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9a-z]+)?)$"),
        description="an EC2 instance type such as `t3.small`",
    ),
]
AmiId: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$"), description="`ami-` and 8 or 17 hexadecimal digits"
    ),
]
SubnetId: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$"),
        description="`subnet-` and 8 or 17 hexadecimal digits",
    ),
]
VpcId: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$"), description="`vpc-` and 8 or 17 hexadecimal digits"
    ),
]
SecurityGroupId: TypeAlias = Annotated[
    str,
    Meta(extra_json_schema=_p(r"^sg-([0-9a-f]{8}|[0-9a-f]{17})$"), description="`sg-` and 8 or 17 hexadecimal digits"),
]
AccountId: TypeAlias = Annotated[str, Meta(extra_json_schema=_p(r"^[0-9]{12}$"), description="12 digits, in quotes")]
AmiOwner: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^([0-9]{12}|self|amazon|aws-marketplace)$"),
        description="an account, `self`, `amazon` or `aws-marketplace`",
    ),
]
ParameterName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^/[A-Za-z0-9._/-]{1,1010}$"), description="an SSM parameter such as `/aws/service/...`"
    ),
]
KmsKeyId: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(
            r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+|alias/[A-Za-z0-9/_-]+|[0-9a-f-]{36}|mrk-[0-9a-f]{32})$"
        ),
        description="a KMS key id, alias or ARN",
    ),
]
OrganizationArn: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}$"),
        description="the ARN of an organization",
    ),
]
OrganizationalUnitArn: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(
            r"^arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}$"
        ),
        description="the ARN of an organizational unit",
    ),
]
# AWS: 128 characters, letters, digits, spaces and _ . : / = + - @; the prefix aws: is reserved.
TagKey: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^(?![aA][wW][sS]:)[A-Za-z0-9 _.:/=+@-]{1,128}$"),
        description="a tag key; `aws:` is reserved",
    ),
]
TagValue: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9 _.:/=+@-]{0,256}$"),
        description="a tag value, in quotes if it is a number or true/false",
    ),
]
InstanceProfile: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^[A-Za-z0-9+=,.@_-]{1,128}$"), description="the name of an instance profile")
]
Suite: TypeAlias = Annotated[
    str,
    Meta(extra_json_schema=_p(r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"), description="a suite such as `noble-updates`"),
]
Component: TypeAlias = Annotated[
    str, Meta(extra_json_schema=_p(r"^[a-z][a-z0-9-]{0,31}$"), description="a component such as `universe`")
]
Sha256: TypeAlias = Annotated[str, Meta(extra_json_schema=_p(r"^[0-9a-f]{64}$"), description="64 hexadecimal digits")]
AmiNamePattern: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9 ()\[\]./'@_*?-]{3,128}$"),
        description="the name of an AMI, with `*` and `?`",
    ),
]
SourceParameter: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^/[A-Za-z0-9._/{}-]{1,1010}$"),
        description="an SSM parameter such as `/aws/service/...`, with or without `{arch}`",
    ),
]
PathText: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        extra_json_schema=_p(r"^[^\x00-\x1f\x7f-\x9f]+$"),
        description="a path without control characters",
    ),
]
# A systemd service as nodeadm names its drop-in folder: NAME.service.d.
ServiceName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,127}$"),
        description="`default` for all services, or the name of a systemd service without `.service`",
    ),
]
EnvironmentName: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"),
        description="the name of an environment variable",
    ),
]
EnvironmentValue: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[^\x00-\x1f\x7f-\x9f]*$"),
        max_length=4096,
        description="text in one line, in quotes if it is a number or true/false",
    ),
]
IpAddress: TypeAlias = Annotated[
    str,
    Meta(extra_json_schema=_p(r"^[0-9a-fA-F.:]{2,45}$"), description="an IPv4 or IPv6 address"),
]
SearchDomain: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^(~\.|~?[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)$"),
        description="a DNS domain, with `~` before it for routing only",
    ),
]
ClusterId: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$"), description="the id of a local cluster on an Outpost"
    ),
]
PodsExpression: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema=_p(r"^[ -~]{1,1024}$"),
        description="a CEL expression with `default_enis`, `ips_per_eni` and `max_pods`",
    ),
]

"""The spec as types: the one source of validation, JSON Schema and reference.

Every field is documented here and nowhere else. Constraints are part of the types, so that the JSON Schema and the
loader cannot disagree. Rules on more than one field are in `amigen.spec.rules`.

The one idea of this long module: one class for each mapping of the YAML file.

Naming follows Kubernetes: camelCase in YAML (`strictARP`, `serviceCIDR` where Kubernetes writes it so).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from amigen.spec import values as v
from amigen.spec.values import doc

API_VERSION = "amigen/v1alpha1"


# Fields of a mapping that a later version of amigen added. Where they are not set, they are no part of the digest, so that
# an upgrade does not make every node differ from its spec.
ADDED: dict[str, tuple[str, ...]] = {
    "": ("userData",),
    "aws": ("amiName", "builder"),
    "aws.builder": ("bastion", "acceptAnyHostKey", "spot", "instanceProfilePolicy"),
    "aws.share": ("public",),
    "join.eks": ("enableOutpost", "id", "containerd", "instance", "featureGates"),
    "join.eks.kubelet": ("maxPodsExpression", "config"),
    "local": ("firmware",),
    "local.bases.*": ("mmdebstrap",),
}


class _Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of all parts of the spec: immutable, by keyword, unknown keys refused."""


class Ipvs(_Model, frozen=True, kw_only=True):
    """Settings of kube-proxy's IPVS mode."""

    scheduler: Annotated[
        v.Scheduler,
        doc(
            "How a node spreads its own connections over the endpoints. Each node balances only what it sees,"
            " so that the choice matters less in Kubernetes than on a load balancer (KEP-5495)."
        ),
    ] = "rr"
    strict_arp: Annotated[
        bool,
        doc(
            "kube-proxy's `strictARP`, which MetalLB and kube-vip ask for. kube-proxy sets it itself; the"
            " image does not, and the EKS add-on cannot."
        ),
    ] = field(name="strictARP", default=False)
    conn_tab_bits: Annotated[
        Annotated[int, Meta(ge=8, le=27)] | None,
        doc(
            "Size of the connection table as a power of two, written to `/etc/modprobe.d/`; the kernel's default"
            " of 12 (4096 buckets) is small for large clusters. 8 to 20; up to 27 on kernels from 6.5 on."
        ),
    ] = None


class KubeProxy(_Model, frozen=True, kw_only=True):
    """What kube-proxy will be on these nodes; the image is made ready for it."""

    mode: Annotated[v.ProxyMode, doc("kube-proxy's mode.")] = "ipvs"
    ipvs: Annotated[Ipvs, doc("Only with `mode: ipvs`.")] = Ipvs()


class Modules(_Model, frozen=True, kw_only=True):
    """Kernel modules that are loaded at every boot."""

    persist: Annotated[
        Literal["all", "minimal"],
        doc(
            "`all`: the kube-proxy mode's whole set (for ipvs all ten schedulers); `minimal`: what the chosen scheduler needs."
        ),
    ] = "all"
    extra: Annotated[tuple[v.ModuleName, ...], doc("More modules, such as `br_netfilter`.", max_length=64)] = ()


class Package(_Model, frozen=True, kw_only=True):
    """A package to install."""

    name: Annotated[v.PackageName, doc("Name of the package, in all platforms that are named below.")]
    version: Annotated[
        v.PackageVersion | None,
        doc("Exactly this version; unset: what the package source has, or what is there already."),
    ] = None
    platforms: Annotated[tuple[v.Platform, ...], doc("Only on these platforms; empty: on all of the spec.")] = ()


class File(_Model, frozen=True, kw_only=True):
    """A file on the node. An existing file at the path is backed up next to it."""

    path: Annotated[v.AbsolutePath, doc("Absolute path on the node.")]
    content: Annotated[
        Annotated[str, Meta(max_length=65536)] | None, doc("Its text; `content` or `contentBase64`.")
    ] = None
    content_base64: Annotated[v.Base64 | None, doc("Its bytes in base64, for what is not text.")] = None
    owner: Annotated[v.UserName, doc("Its user.")] = "root"
    group: Annotated[v.UserName, doc("Its group.")] = "root"
    mode: Annotated[v.FileMode, doc("Its permission bits.")] = "0644"


class Hook(_Model, frozen=True, kw_only=True):
    """A script of your own, run as root; it stops the bootstrap when it fails."""

    name: Annotated[v.HookName, doc("What logs and checks call it.")]
    script: Annotated[v.Script, doc("Run by its `#!` line, or by `bash -euo pipefail` when it has none.")]
    run: Annotated[
        Literal["once", "always"],
        doc("`once`: not again on a node or image where this very text has run; `always`: at every bootstrap."),
    ] = "once"


class Hooks(_Model, frozen=True, kw_only=True):
    """Scripts around the bootstrap."""

    before: Annotated[tuple[Hook, ...], doc("Before packages, files and modules.", max_length=32)] = ()
    after: Annotated[tuple[Hook, ...], doc("After them.", max_length=32)] = ()


class Mirror(_Model, frozen=True, kw_only=True):
    """A package source of your own for one platform, used in place of the distribution's."""

    url: Annotated[v.Url, doc("Base URL: the folder with `dists/` (apt), or with `repodata/` (dnf).")]
    suites: Annotated[
        tuple[v.Suite, ...], doc("apt: suites; empty: the release and its `-updates` and `-security`.", max_length=16)
    ] = ()
    components: Annotated[
        tuple[v.Component, ...], doc("apt: components; empty: the distribution's usual ones.", max_length=16)
    ] = ()
    gpg_key: Annotated[
        v.AbsolutePath | None,
        doc("Key file on the node that signs the mirror; unset: the distribution's own. Ship it with `files`."),
    ] = None


class PackageSources(_Model, frozen=True, kw_only=True):
    """Where packages come from, for closed networks."""

    proxy: Annotated[v.ProxyUrl | None, doc("HTTP proxy of the package manager.")] = None
    no_proxy: Annotated[tuple[v.NoProxyEntry, ...], doc("Hosts that are reached without it.", max_length=64)] = ()
    mirrors: Annotated[
        dict[v.Platform, Mirror], doc("Per platform, a mirror that takes the place of the distribution's sources.")
    ] = {}
    timeout_seconds: Annotated[
        int, doc("How long the bootstrap tries, with backoff, before it gives up on packages.", ge=60, le=3600)
    ] = 600


class Kubelet(_Model, frozen=True, kw_only=True):
    """Settings of the kubelet."""

    flags: Annotated[
        tuple[v.KubeletFlag, ...],
        doc(
            "Command-line flags that the kubelet of this Kubernetes version has. They win over `config`.", max_length=64
        ),
    ] = ()
    labels: Annotated[dict[v.LabelKey, v.LabelValue], doc("Labels of the node.")] = {}
    taints: Annotated[tuple[v.Taint, ...], doc("Taints that the node registers with.", max_length=32)] = ()
    max_pods: Annotated[Annotated[int, Meta(ge=1, le=1024)] | None, doc("`maxPods` of the kubelet configuration.")] = (
        None
    )
    max_pods_expression: Annotated[
        v.PodsExpression | None,
        doc(
            "Let nodeadm compute `maxPods` from the instance type, such as `max_pods - 10`. `maxPods` wins;"
            " nodeadm reserves memory by the result of the expression. Not on Ubuntu."
        ),
    ] = None
    config: Annotated[
        dict[str, Any],
        doc(
            "Any other field of KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`) of this Kubernetes"
            " version, merged over nodeadm's defaults. Not on Ubuntu."
        ),
    ] = {}


class Containerd(_Model, frozen=True, kw_only=True):
    """Settings of containerd, merged over nodeadm's defaults."""

    config: Annotated[
        Annotated[str, Meta(max_length=16384)] | None, doc("TOML of containerd's configuration, merged over nodeadm's.")
    ] = None
    base_runtime_spec: Annotated[
        dict[str, Any], doc("Part of an OCI runtime specification, merged over nodeadm's: the base of all containers.")
    ] = {}


class LocalStorage(_Model, frozen=True, kw_only=True):
    """Use of the instance store disks, where the instance type has any."""

    strategy: Annotated[
        Literal["RAID0", "RAID10", "Mount"],
        doc(
            "`RAID0`: one volume of all disks; `RAID10`: the same, mirrored, from 4 disks on; `Mount`: each disk"
            " by itself. With RAID, nodeadm puts the folders of containerd, of the kubelet and of pod logs on it."
        ),
    ]
    mount_path: Annotated[v.AbsolutePath | None, doc("Where to mount it; unset: nodeadm's `/mnt/k8s-disks`.")] = None
    disabled_mounts: Annotated[
        tuple[Literal["Containerd", "PodLogs", "SOCI"], ...],
        doc(
            "Folders that stay on the root volume: `Containerd` is `/var/lib/containerd`, `PodLogs` is"
            " `/var/log/pods`, `SOCI` is `/var/lib/soci-snapshotter-grpc`."
        ),
    ] = ()


class Network(_Model, frozen=True, kw_only=True):
    """Name resolution of the node (systemd-resolved)."""

    nameservers: Annotated[tuple[v.IpAddress, ...], doc("DNS servers.", max_length=16)] = ()
    domains: Annotated[tuple[v.SearchDomain, ...], doc("Search domains.", max_length=16)] = ()


class Instance(_Model, frozen=True, kw_only=True):
    """Settings of the operating system that nodeadm makes."""

    local_storage: Annotated[
        LocalStorage | None, doc("Use the instance store disks; unset: nodeadm leaves them alone.")
    ] = None
    environment: Annotated[
        dict[v.ServiceName, dict[v.EnvironmentName, v.EnvironmentValue]],
        doc(
            "Environment variables of a systemd service, such as `kubelet`, or of all of them: `default`. Every"
            " process on the instance can read them: no secrets."
        ),
    ] = {}
    network: Annotated[Network, doc("Name resolution.")] = Network()


class Eks(_Model, frozen=True, kw_only=True):
    """The EKS cluster that nodes join. Nothing in it is a secret."""

    name: Annotated[v.ClusterName, doc("Name of the cluster.")]
    api_server_endpoint: Annotated[v.HttpsUrl, doc("`aws eks describe-cluster --query cluster.endpoint`.")]
    certificate_authority: Annotated[v.Base64, doc("`--query cluster.certificateAuthority.data`.")]
    service_cidr: Annotated[
        v.Cidr, doc("`--query cluster.kubernetesNetworkConfig.serviceIpv4Cidr` (or `serviceIpv6Cidr`).")
    ] = field(name="serviceCIDR")
    enable_outpost: Annotated[bool, doc("The cluster is a local one on an AWS Outpost; needs `id`. Not on Ubuntu.")] = (
        False
    )
    id: Annotated[v.ClusterId | None, doc("`--query cluster.id`, of a local cluster on an Outpost.")] = None
    kubelet: Annotated[Kubelet, doc("Settings of the kubelet.")] = Kubelet()
    containerd: Annotated[Containerd, doc("Settings of containerd. Not on Ubuntu.")] = Containerd()
    instance: Annotated[Instance, doc("Settings of the operating system. Not on Ubuntu.")] = Instance()
    feature_gates: Annotated[
        dict[Literal["InstanceIdNodeName", "FastImagePull"], bool],
        doc(
            "Feature gates of nodeadm: `InstanceIdNodeName` names the node by its instance id,"
            " `FastImagePull` pulls images in parallel on larger instances. Not on Ubuntu."
        ),
    ] = {}


class Join(_Model, frozen=True, kw_only=True):
    """How a node joins a cluster. Empty: the spec does not join it (an image only, or other user data joins it)."""

    eks: Annotated[Eks | None, doc("Join this EKS cluster.")] = None


class AmiFilter(_Model, frozen=True, kw_only=True):
    """Picks the newest AMI that matches."""

    name: Annotated[v.AmiNamePattern, doc("Name with `*` and `?`.")]
    owners: Annotated[
        tuple[v.AmiOwner, ...],
        doc("Owners; required, or anybody could publish your base image.", min_length=1, max_length=16),
    ]


class SourceAmi(_Model, frozen=True, kw_only=True):
    """The AMI to start from: exactly one of the three. `{arch}` is replaced by the platform's name of the architecture."""

    id: Annotated[v.AmiId | None, doc("This AMI (of one architecture, in one region).")] = None
    ssm_parameter: Annotated[
        v.SourceParameter | None, doc("The AMI that this SSM parameter names; may hold `{arch}`.")
    ] = None
    filter: Annotated[
        AmiFilter | None,
        doc("The newest AMI that matches; its name may not hold `{arch}`: the architecture is always asked for."),
    ] = None


class Encryption(_Model, frozen=True, kw_only=True):
    """Encryption of the AMI's snapshots."""

    enabled: Annotated[bool, doc("Encrypt them.")] = True
    kms_key_id: Annotated[
        v.KmsKeyId | None,
        doc("With this key; unset: the account's EBS key. An AMI that is shared needs a key of your own."),
    ] = None
    region_kms_key_ids: Annotated[
        dict[v.Region, v.KmsKeyId],
        doc("Keys of the copy regions; unset: a multi-region key or alias of the same name."),
    ] = {}


class RootVolume(_Model, frozen=True, kw_only=True):
    """The root volume of the image and of launch templates."""

    size_gib: Annotated[int, doc("Size in GiB.", ge=8, le=16384)] = field(name="sizeGiB", default=20)
    type: Annotated[Literal["gp3", "gp2", "io1", "io2"], doc("Volume type.")] = "gp3"
    iops: Annotated[
        Annotated[int, Meta(ge=100, le=256000)] | None,
        doc(
            "IOPS; required for io1 and io2. Packer takes at most 16000 (gp3) or 64000; launch templates have them all."
        ),
    ] = None
    throughput: Annotated[Annotated[int, Meta(ge=125, le=2000)] | None, doc("MiB/s, gp3 only.")] = None


class Share(_Model, frozen=True, kw_only=True):
    """Who may launch the AMI."""

    accounts: Annotated[tuple[v.AccountId, ...], doc("Accounts.", max_length=500)] = ()
    organizations: Annotated[tuple[v.OrganizationArn, ...], doc("Organizations.", max_length=50)] = ()
    organizational_units: Annotated[
        tuple[v.OrganizationalUnitArn, ...], doc("Organizational units.", max_length=50)
    ] = ()
    public: Annotated[bool, doc("Everybody, in all regions of the spec; not with encryption.")] = False

    @property
    def named(self) -> tuple[str, ...]:
        """Everyone who is named."""
        return (*self.accounts, *self.organizations, *self.organizational_units)


class LaunchTemplate(_Model, frozen=True, kw_only=True):
    """The launch templates that `publish` makes: one per platform and architecture, `NAME-PLATFORM-ARCH`."""

    instance_types: Annotated[
        dict[v.Architecture, v.InstanceType], doc("Instance type per architecture; unset: left to the node group.")
    ] = {}
    hop_limit: Annotated[
        int,
        doc(
            "IMDSv2 hop limit: 1 keeps pods off the instance's credentials, 2 lets containers reach IMDS.", ge=1, le=64
        ),
    ] = 1
    security_group_ids: Annotated[
        tuple[v.SecurityGroupId, ...], doc("Security groups of the instances.", max_length=16)
    ] = ()
    iam_instance_profile: Annotated[
        v.InstanceProfile | None, doc("Instance profile; not with managed node groups, which bring a role.")
    ] = None
    resolve_ssm_parameter: Annotated[
        bool, doc("Name the AMI as `resolve:ssm:/amigen/NAME/PLATFORM/ARCH` in place of its id.")
    ] = False


class Spot(_Model, frozen=True, kw_only=True):
    """The builder as a spot instance."""

    instance_types: Annotated[
        dict[v.Architecture, tuple[v.InstanceType, ...]],
        doc("Instance types per architecture, of which EC2 chooses; unset: that of `aws.instanceTypes`.", max_length=2),
    ] = {}
    max_price: Annotated[v.SpotPrice, doc("Highest price; `auto`: that of an on-demand instance.")] = "auto"
    allocation_strategy: Annotated[
        Literal["price-capacity-optimized", "capacity-optimized", "lowest-price"],
        doc("How EC2 chooses among the instance types."),
    ] = "price-capacity-optimized"


class PolicyStatement(_Model, frozen=True, kw_only=True):
    """A statement of an IAM policy, as far as Packer takes it: without conditions."""

    effect: Annotated[Literal["Allow", "Deny"], doc("Allow or deny.")] = "Allow"
    actions: Annotated[tuple[v.IamAction, ...], doc("Actions.", min_length=1, max_length=64)]
    resources: Annotated[tuple[v.IamResource, ...], doc("Resources.", min_length=1, max_length=64)]


class Bastion(_Model, frozen=True, kw_only=True):
    """A host that ssh goes through to the builder."""

    host: Annotated[v.HostName, doc("Its name or address. Its host key must be in your `known_hosts`.")]
    port: Annotated[int, doc("Port of its ssh.", ge=1, le=65535)] = 22
    user: Annotated[v.UserName, doc("User on it.")]


class Builder(_Model, frozen=True, kw_only=True):
    """More about the instance on which Packer builds."""

    vpc_filter: Annotated[
        dict[v.FilterName, v.FilterValue], doc("Find the VPC by filters in place of `vpcId`.", max_length=16)
    ] = {}
    subnet_filter: Annotated[
        dict[v.FilterName, v.FilterValue],
        doc("Find the subnet by filters in place of `subnetId`; of several the one with the most free addresses.",
            max_length=16),
    ] = {}  # fmt: skip
    security_group_filter: Annotated[
        dict[v.FilterName, v.FilterValue],
        doc("Find the security groups by filters in place of `securityGroupIds`.", max_length=16),
    ] = {}
    ssh_interface: Annotated[
        Literal["public_ip", "private_ip", "public_dns", "private_dns", "ipv6"] | None,
        doc(
            "Address by which Packer and amigen reach the builder; unset: the public one, where it has one. `ipv6`"
            " needs a subnet that assigns IPv6 addresses."
        ),
    ] = None
    bastion: Annotated[
        Bastion | None,
        doc(
            "Reach the builder through this host, with the keys of your ssh agent or of `--packer-var"
            " bastion_private_key_file=FILE`."
        ),
    ] = None
    accept_any_host_key: Annotated[
        bool,
        doc(
            "Do not compare the builder's ssh host key with its EC2 console output: for an image that does not print"
            " it, as cloud-init does by default."
        ),
    ] = False
    spot: Annotated[Spot | None, doc("Build on a spot instance; `{}` with its defaults.")] = None
    instance_profile_policy: Annotated[
        tuple[PolicyStatement, ...],
        doc(
            "Let Packer make an instance profile with this policy for the time of the build, in place of"
            " `iamInstanceProfile`. Whoever builds must then be allowed to make roles.",
            max_length=16,
        ),
    ] = ()
    user_data: Annotated[
        Annotated[str, Meta(min_length=1, max_length=16384)] | None,
        doc("User data of the builder alone, such as a proxy for its agents; nodes do not get it."),
    ] = None


class Aws(_Model, frozen=True, kw_only=True):
    """What Packer and publishing need on AWS."""

    region: Annotated[v.Region, doc("Region in which the image is built.")] = "us-east-1"
    instance_types: Annotated[
        dict[v.Architecture, v.InstanceType],
        doc("Builder instance per architecture; default `t3.medium` and `t4g.medium`."),
    ] = {}
    vpc_id: Annotated[v.VpcId | None, doc("VPC of the builder; unset: the default VPC.")] = None
    subnet_id: Annotated[v.SubnetId | None, doc("Subnet of the builder.")] = None
    security_group_ids: Annotated[
        tuple[v.SecurityGroupId, ...], doc("Groups of the builder; empty: a temporary one.", max_length=16)
    ] = ()
    ssh_source_cidrs: Annotated[
        tuple[v.Cidr, ...],
        doc(
            "Address ranges from which the temporary security group lets ssh in; empty: from everywhere, as Packer does.",
            max_length=16,
        ),
    ] = ()
    associate_public_ip: Annotated[
        bool | None, doc("Give the builder a public address; unset: as the subnet says.")
    ] = None
    communicator: Annotated[
        Literal["ssh", "session-manager"],
        doc("How Packer reaches the builder; `session-manager` needs an instance profile and opens no port."),
    ] = "ssh"
    iam_instance_profile: Annotated[v.InstanceProfile | None, doc("Instance profile of the builder.")] = None
    builder: Annotated[Builder, doc("Network, address, access, market and user data of the builder.")] = Builder()
    ami_name: Annotated[
        v.AmiName | None,
        doc("Name of the AMI; unset: `{name}-{platform}-{architecture}-{build}`. `{build}` is the id of the build."),
    ] = None
    base_image: Annotated[
        Literal["eks", "plain"],
        doc("Default source: the EKS optimized image of the Kubernetes version, or the plain distribution."),
    ] = "eks"
    source_amis: Annotated[dict[v.Platform, SourceAmi], doc("Another source AMI per platform.")] = {}
    encryption: Annotated[Encryption, doc("Encryption of the snapshots.")] = Encryption()
    root_volume: Annotated[RootVolume, doc("The root volume.")] = RootVolume()
    tags: Annotated[dict[v.TagKey, v.TagValue], doc("Tags of all that is made.", max_length=40)] = {}
    copy_regions: Annotated[
        tuple[v.Region, ...], doc("Regions that get a copy, after the checks have passed.", max_length=40)
    ] = ()
    share: Annotated[Share, doc("Who may launch the AMI, after the checks have passed.")] = Share()
    deprecate_after_days: Annotated[
        Annotated[int, Meta(ge=1, le=3650)] | None, doc("Deprecate the AMI so many days after the build.")
    ] = None
    launch_template: Annotated[LaunchTemplate, doc("Launch templates.")] = LaunchTemplate()


class LocalBase(_Model, frozen=True, kw_only=True):
    """A disk image to start a local build from: a file, a URL with its checksum, or package sources."""

    path: Annotated[v.PathText | None, doc("A qcow2 or raw file, relative to the spec.")] = None
    url: Annotated[v.Url | None, doc("A download, such as one version of the official cloud image.")] = None
    sha256: Annotated[v.Sha256 | None, doc("Checksum of the download; required with `url`.")] = None
    mmdebstrap: Annotated[
        bool, doc("Make a root from package sources with mmdebstrap, as root on Debian or Ubuntu: for closed networks.")
    ] = False
    user: Annotated[v.UserName | None, doc("The user that cloud-init makes; unset: the distribution's.")] = None


class Local(_Model, frozen=True, kw_only=True):
    """Builds of a local VM image, without any account."""

    bases: Annotated[
        dict[v.Platform, LocalBase],
        doc("Base image per platform; unset: the newest cloud image that the distribution publishes."),
    ] = {}
    firmware: Annotated[
        Literal["bios", "uefi"], doc("What starts a disk with a boot loader on x86_64; arm64 has UEFI only.")
    ] = "bios"
    disk_gib: Annotated[int, doc("Size of the disk in GiB; larger where the base is.", ge=2, le=2048)] = field(
        name="diskGiB", default=8
    )
    memory_mib: Annotated[int, doc("Memory of the builder in MiB.", ge=512, le=1048576)] = field(
        name="memoryMiB", default=2048
    )
    cpus: Annotated[int, doc("Processors of the builder.", ge=1, le=256)] = 2


class UserData(_Model, frozen=True, kw_only=True):
    """User data that exists already."""

    merge: Annotated[
        v.PathText | None,
        doc(
            "A file, relative to the spec, with user data of any kind: `render`, `publish` and `user-data` put"
            " its parts into theirs, in the right order."
        ),
    ] = None


class NodeImage(_Model, frozen=True, kw_only=True):
    """A node image: what a Kubernetes node needs beyond the stock image."""

    api_version: Annotated[Literal["amigen/v1alpha1"], doc("Version of this format.")]
    kind: Annotated[Literal["NodeImage"], doc("Always `NodeImage`.")]
    name: Annotated[v.Name, doc("Name of the image: prefix of AMIs, launch templates and parameters.")]
    kubernetes_version: Annotated[v.KubernetesVersion, doc("Kubernetes version of the nodes.")]
    platforms: Annotated[tuple[v.Platform, ...], doc("Operating systems to make the image for.", min_length=1)]
    architectures: Annotated[tuple[v.Architecture, ...], doc("Processor architectures.", min_length=1)] = ("x86_64",)
    kube_proxy: Annotated[KubeProxy, doc("What kube-proxy will be on these nodes.")] = KubeProxy()
    modules: Annotated[Modules, doc("Kernel modules to load at every boot.")] = Modules()
    packages: Annotated[
        tuple[Package, ...], doc("More packages, or versions for those that amigen installs.", max_length=256)
    ] = ()
    sysctls: Annotated[
        dict[v.SysctlKey, v.SysctlValue | int],
        doc("Kernel parameters, set at every boot. Not those that kube-proxy sets itself."),
    ] = {}
    files: Annotated[tuple[File, ...], doc("Files to write.", max_length=256)] = ()
    hooks: Annotated[Hooks, doc("Scripts of your own.")] = Hooks()
    package_sources: Annotated[PackageSources, doc("Proxy and mirrors for closed networks.")] = PackageSources()
    join: Annotated[Join, doc("How the node joins a cluster.")] = Join()
    user_data: Annotated[UserData, doc("User data that exists already.")] = UserData()
    gate: Annotated[
        bool | None,
        doc(
            "Keep a node that is not ready from joining: kubelet waits for `amigen-ready.service`. Unset: on for a spec that joins a cluster, and on the EKS images of al2023 and Ubuntu (`aws.baseImage: eks`, also with `sourceAmis`), whoever joins the node."
        ),
    ] = None
    aws: Annotated[Aws, doc("Images and launch templates on AWS.")] = Aws()
    local: Annotated[Local, doc("Local VM images.")] = Local()

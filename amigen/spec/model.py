"""The spec as types: the one source of validation, JSON Schema and reference.

Every field is documented here and nowhere else, by the text below it, which `amigen.spec.schema` reads. Constraints are
part of the types, so that the JSON Schema and the loader cannot disagree. Rules on more than one field are in
`amigen.spec.rules`.

The one idea of this long module: one class for each mapping of the YAML file.

Naming follows Kubernetes: camelCase in YAML (`strictARP`, `serviceCIDR` where Kubernetes writes it so).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from amigen.spec import values as v

API_VERSION = "amigen/v1alpha1"


# Fields of a mapping that a later version of amigen added. Where they are not set, they are no part of the digest, so
# that an upgrade does not make every node differ from its spec.
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

    scheduler: v.Scheduler = "rr"
    """How a node spreads its own connections over the endpoints. Each node balances only what it sees, so that the
    choice matters less in Kubernetes than on a load balancer (KEP-5495)."""
    strict_arp: bool = field(name="strictARP", default=False)
    """kube-proxy's `strictARP`, which MetalLB and kube-vip ask for. kube-proxy sets it itself; the image does not, and
    the EKS add-on cannot."""
    conn_tab_bits: Annotated[int, Meta(ge=8, le=27)] | None = None
    """Size of the connection table as a power of two, written to `/etc/modprobe.d/`; the kernel's default of 12 (4096
    buckets) is small for large clusters. 8 to 20; up to 27 on kernels from 6.5 on."""


class KubeProxy(_Model, frozen=True, kw_only=True):
    """What kube-proxy will be on these nodes; the image is made ready for it."""

    mode: v.ProxyMode = "ipvs"
    """kube-proxy's mode."""
    ipvs: Ipvs = Ipvs()
    """Only with `mode: ipvs`."""


class Modules(_Model, frozen=True, kw_only=True):
    """Kernel modules that are loaded at every boot."""

    persist: Literal["all", "minimal"] = "all"
    """`all`: the kube-proxy mode's whole set (for ipvs all ten schedulers); `minimal`: what the chosen scheduler
    needs."""
    extra: Annotated[tuple[v.ModuleName, ...], Meta(max_length=64)] = ()
    """More modules, such as `br_netfilter`."""


class Package(_Model, frozen=True, kw_only=True):
    """A package to install."""

    name: v.PackageName
    """Name of the package, in all platforms that are named below."""
    version: v.PackageVersion | None = None
    """Exactly this version; unset: what the package source has, or what is there already."""
    platforms: tuple[v.Platform, ...] = ()
    """Only on these platforms; empty: on all of the spec."""


class File(_Model, frozen=True, kw_only=True):
    """A file on the node. An existing file at the path is backed up next to it."""

    path: v.AbsolutePath
    """Absolute path on the node."""
    content: Annotated[str, Meta(max_length=65536)] | None = None
    """Its text; `content` or `contentBase64`."""
    content_base64: v.Base64 | None = None
    """Its bytes in base64, for what is not text."""
    owner: v.UserName = "root"
    """Its user."""
    group: v.UserName = "root"
    """Its group."""
    mode: v.FileMode = "0644"
    """Its permission bits."""


class Hook(_Model, frozen=True, kw_only=True):
    """A script of your own, run as root; it stops the bootstrap when it fails."""

    name: v.HookName
    """What logs and checks call it."""
    script: v.Script
    """Run by its `#!` line, or by `bash -euo pipefail` when it has none."""
    run: Literal["once", "always"] = "once"
    """`once`: not again on a node or image where this very text has run; `always`: at every bootstrap."""


class Hooks(_Model, frozen=True, kw_only=True):
    """Scripts around the bootstrap."""

    before: Annotated[tuple[Hook, ...], Meta(max_length=32)] = ()
    """Before packages, files and modules."""
    after: Annotated[tuple[Hook, ...], Meta(max_length=32)] = ()
    """After them."""


class Mirror(_Model, frozen=True, kw_only=True):
    """A package source of your own for one platform, used in place of the distribution's."""

    url: v.Url
    """Base URL: the folder with `dists/` (apt), or with `repodata/` (dnf)."""
    suites: Annotated[tuple[v.Suite, ...], Meta(max_length=16)] = ()
    """apt: suites; empty: the release and its `-updates` and `-security`."""
    components: Annotated[tuple[v.Component, ...], Meta(max_length=16)] = ()
    """apt: components; empty: the distribution's usual ones."""
    gpg_key: v.AbsolutePath | None = None
    """Key file on the node that signs the mirror; unset: the distribution's own. Ship it with `files`."""


class PackageSources(_Model, frozen=True, kw_only=True):
    """Where packages come from, for closed networks."""

    proxy: v.ProxyUrl | None = None
    """HTTP proxy of the package manager."""
    no_proxy: Annotated[tuple[v.NoProxyEntry, ...], Meta(max_length=64)] = ()
    """Hosts that are reached without it."""
    mirrors: dict[v.Platform, Mirror] = {}
    """Per platform, a mirror that takes the place of the distribution's sources."""
    timeout_seconds: Annotated[int, Meta(ge=60, le=3600)] = 600
    """How long the bootstrap tries, with backoff, before it gives up on packages."""


class Kubelet(_Model, frozen=True, kw_only=True):
    """Settings of the kubelet."""

    flags: Annotated[tuple[v.KubeletFlag, ...], Meta(max_length=64)] = ()
    """Command-line flags that the kubelet of this Kubernetes version has. They win over `config`."""
    labels: dict[v.LabelKey, v.LabelValue] = {}
    """Labels of the node."""
    taints: Annotated[tuple[v.Taint, ...], Meta(max_length=32)] = ()
    """Taints that the node registers with."""
    max_pods: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """`maxPods` of the kubelet configuration."""
    max_pods_expression: v.PodsExpression | None = None
    """Let nodeadm compute `maxPods` from the instance type, such as `max_pods - 10`. `maxPods` wins; nodeadm reserves
    memory by the result of the expression. Not on Ubuntu."""
    config: dict[str, Any] = {}
    """Any other field of KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`) of this Kubernetes version, merged over
    nodeadm's defaults. Not on Ubuntu."""


class Containerd(_Model, frozen=True, kw_only=True):
    """Settings of containerd, merged over nodeadm's defaults."""

    config: Annotated[str, Meta(max_length=16384)] | None = None
    """TOML of containerd's configuration, merged over nodeadm's."""
    base_runtime_spec: dict[str, Any] = {}
    """Part of an OCI runtime specification, merged over nodeadm's: the base of all containers."""


class LocalStorage(_Model, frozen=True, kw_only=True):
    """Use of the instance store disks, where the instance type has any."""

    strategy: Literal["RAID0", "RAID10", "Mount"]
    """`RAID0`: one volume of all disks; `RAID10`: the same, mirrored, from 4 disks on; `Mount`: each disk by itself.
    With RAID, nodeadm puts the folders of containerd, of the kubelet and of pod logs on it."""
    mount_path: v.AbsolutePath | None = None
    """Where to mount it; unset: nodeadm's `/mnt/k8s-disks`."""
    disabled_mounts: tuple[Literal["Containerd", "PodLogs", "SOCI"], ...] = ()
    """Folders that stay on the root volume: `Containerd` is `/var/lib/containerd`, `PodLogs` is `/var/log/pods`, `SOCI`
    is `/var/lib/soci-snapshotter-grpc`."""


class Network(_Model, frozen=True, kw_only=True):
    """Name resolution of the node (systemd-resolved)."""

    nameservers: Annotated[tuple[v.IpAddress, ...], Meta(max_length=16)] = ()
    """DNS servers."""
    domains: Annotated[tuple[v.SearchDomain, ...], Meta(max_length=16)] = ()
    """Search domains."""


class Instance(_Model, frozen=True, kw_only=True):
    """Settings of the operating system that nodeadm makes."""

    local_storage: LocalStorage | None = None
    """Use the instance store disks; unset: nodeadm leaves them alone."""
    environment: dict[v.ServiceName, dict[v.EnvironmentName, v.EnvironmentValue]] = {}
    """Environment variables of a systemd service, such as `kubelet`, or of all of them: `default`. Every process on the
    instance can read them: no secrets."""
    network: Network = Network()
    """Name resolution."""


class Eks(_Model, frozen=True, kw_only=True):
    """The EKS cluster that nodes join. Nothing in it is a secret."""

    name: v.ClusterName
    """Name of the cluster."""
    api_server_endpoint: v.HttpsUrl
    """`aws eks describe-cluster --query cluster.endpoint`."""
    certificate_authority: v.Base64
    """`--query cluster.certificateAuthority.data`."""
    service_cidr: v.Cidr = field(name="serviceCIDR")
    """`--query cluster.kubernetesNetworkConfig.serviceIpv4Cidr` (or `serviceIpv6Cidr`)."""
    enable_outpost: bool = False
    """The cluster is a local one on an AWS Outpost; needs `id`. Not on Ubuntu."""
    id: v.ClusterId | None = None
    """`--query cluster.id`, of a local cluster on an Outpost."""
    kubelet: Kubelet = Kubelet()
    """Settings of the kubelet."""
    containerd: Containerd = Containerd()
    """Settings of containerd. Not on Ubuntu."""
    instance: Instance = Instance()
    """Settings of the operating system. Not on Ubuntu."""
    feature_gates: dict[Literal["InstanceIdNodeName", "FastImagePull"], bool] = {}
    """Feature gates of nodeadm: `InstanceIdNodeName` names the node by its instance id, `FastImagePull` pulls images in
    parallel on larger instances. Not on Ubuntu."""


class Join(_Model, frozen=True, kw_only=True):
    """How a node joins a cluster. Empty: the spec does not join it (an image only, or other user data joins it)."""

    eks: Eks | None = None
    """Join this EKS cluster."""


class AmiFilter(_Model, frozen=True, kw_only=True):
    """Picks the newest AMI that matches."""

    name: v.AmiNamePattern
    """Name with `*` and `?`."""
    owners: Annotated[tuple[v.AmiOwner, ...], Meta(min_length=1, max_length=16)]
    """Owners; required, or anybody could publish your base image."""


class SourceAmi(_Model, frozen=True, kw_only=True):
    """The AMI to start from: exactly one of the three. `{arch}` is replaced by the platform's name of the architecture."""  # noqa: E501

    id: v.AmiId | None = None
    """This AMI (of one architecture, in one region)."""
    ssm_parameter: v.SourceParameter | None = None
    """The AMI that this SSM parameter names; may hold `{arch}`."""
    filter: AmiFilter | None = None
    """The newest AMI that matches; its name may not hold `{arch}`: the architecture is always asked for."""


class Encryption(_Model, frozen=True, kw_only=True):
    """Encryption of the AMI's snapshots."""

    enabled: bool = True
    """Encrypt them."""
    kms_key_id: v.KmsKeyId | None = None
    """With this key; unset: the account's EBS key. An AMI that is shared needs a key of your own."""
    region_kms_key_ids: dict[v.Region, v.KmsKeyId] = {}
    """Keys of the copy regions; unset: a multi-region key or alias of the same name."""


class RootVolume(_Model, frozen=True, kw_only=True):
    """The root volume of the image and of launch templates."""

    size_gib: Annotated[int, Meta(ge=8, le=16384)] = field(name="sizeGiB", default=20)
    """Size in GiB."""
    type: Literal["gp3", "gp2", "io1", "io2"] = "gp3"
    """Volume type."""
    iops: Annotated[int, Meta(ge=100, le=256000)] | None = None
    """IOPS; required for io1 and io2. Packer takes at most 16000 (gp3) or 64000; launch templates have them all."""
    throughput: Annotated[int, Meta(ge=125, le=2000)] | None = None
    """MiB/s, gp3 only."""


class Share(_Model, frozen=True, kw_only=True):
    """Who may launch the AMI."""

    accounts: Annotated[tuple[v.AccountId, ...], Meta(max_length=500)] = ()
    """Accounts."""
    organizations: Annotated[tuple[v.OrganizationArn, ...], Meta(max_length=50)] = ()
    """Organizations."""
    organizational_units: Annotated[tuple[v.OrganizationalUnitArn, ...], Meta(max_length=50)] = ()
    """Organizational units."""
    public: bool = False
    """Everybody, in all regions of the spec; not with encryption."""

    @property
    def named(self) -> tuple[str, ...]:
        """Everyone who is named."""
        return (*self.accounts, *self.organizations, *self.organizational_units)


class LaunchTemplate(_Model, frozen=True, kw_only=True):
    """The launch templates that `publish` makes: one per platform and architecture, `NAME-PLATFORM-ARCH`."""

    instance_types: dict[v.Architecture, v.InstanceType] = {}
    """Instance type per architecture; unset: left to the node group."""
    hop_limit: Annotated[int, Meta(ge=1, le=64)] = 1
    """IMDSv2 hop limit: 1 keeps pods off the instance's credentials, 2 lets containers reach IMDS."""
    security_group_ids: Annotated[tuple[v.SecurityGroupId, ...], Meta(max_length=16)] = ()
    """Security groups of the instances."""
    iam_instance_profile: v.InstanceProfile | None = None
    """Instance profile; not with managed node groups, which bring a role."""
    resolve_ssm_parameter: bool = False
    """Name the AMI as `resolve:ssm:/amigen/NAME/PLATFORM/ARCH` in place of its id."""


class Spot(_Model, frozen=True, kw_only=True):
    """The builder as a spot instance."""

    instance_types: Annotated[dict[v.Architecture, tuple[v.InstanceType, ...]], Meta(max_length=2)] = {}
    """Instance types per architecture, of which EC2 chooses; unset: that of `aws.instanceTypes`."""
    max_price: v.SpotPrice = "auto"
    """Highest price; `auto`: that of an on-demand instance."""
    allocation_strategy: Literal["price-capacity-optimized", "capacity-optimized", "lowest-price"] = (
        "price-capacity-optimized"
    )
    """How EC2 chooses among the instance types."""


class PolicyStatement(_Model, frozen=True, kw_only=True):
    """A statement of an IAM policy, as far as Packer takes it: without conditions."""

    effect: Literal["Allow", "Deny"] = "Allow"
    """Allow or deny."""
    actions: Annotated[tuple[v.IamAction, ...], Meta(min_length=1, max_length=64)]
    """Actions."""
    resources: Annotated[tuple[v.IamResource, ...], Meta(min_length=1, max_length=64)]
    """Resources."""


class Bastion(_Model, frozen=True, kw_only=True):
    """A host that ssh goes through to the builder."""

    host: v.HostName
    """Its name or address. Its host key must be in your `known_hosts`."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    """Port of its ssh."""
    user: v.UserName
    """User on it."""


class Builder(_Model, frozen=True, kw_only=True):
    """More about the instance on which Packer builds."""

    vpc_filter: Annotated[dict[v.FilterName, v.FilterValue], Meta(max_length=16)] = {}
    """Find the VPC by filters in place of `vpcId`."""
    subnet_filter: Annotated[dict[v.FilterName, v.FilterValue], Meta(max_length=16)] = {}
    """Find the subnet by filters in place of `subnetId`; of several the one with the most free addresses."""
    security_group_filter: Annotated[dict[v.FilterName, v.FilterValue], Meta(max_length=16)] = {}
    """Find the security groups by filters in place of `securityGroupIds`."""
    ssh_interface: Literal["public_ip", "private_ip", "public_dns", "private_dns", "ipv6"] | None = None
    """Address by which Packer and amigen reach the builder; unset: the public one, where it has one. `ipv6` needs a
    subnet that assigns IPv6 addresses."""
    bastion: Bastion | None = None
    """Reach the builder through this host, with the keys of your ssh agent or of `--packer-var
    bastion_private_key_file=FILE`."""
    accept_any_host_key: bool = False
    """Do not compare the builder's ssh host key with its EC2 console output: for an image that does not print it, as
    cloud-init does by default."""
    spot: Spot | None = None
    """Build on a spot instance; `{}` with its defaults."""
    instance_profile_policy: Annotated[tuple[PolicyStatement, ...], Meta(max_length=16)] = ()
    """Let Packer make an instance profile with this policy for the time of the build, in place of `iamInstanceProfile`.
    Whoever builds must then be allowed to make roles."""
    user_data: Annotated[str, Meta(min_length=1, max_length=16384)] | None = None
    """User data of the builder alone, such as a proxy for its agents; nodes do not get it."""


class Aws(_Model, frozen=True, kw_only=True):
    """What Packer and publishing need on AWS."""

    region: v.Region = "us-east-1"
    """Region in which the image is built."""
    instance_types: dict[v.Architecture, v.InstanceType] = {}
    """Builder instance per architecture; default `t3.medium` and `t4g.medium`."""
    vpc_id: v.VpcId | None = None
    """VPC of the builder; unset: the default VPC."""
    subnet_id: v.SubnetId | None = None
    """Subnet of the builder."""
    security_group_ids: Annotated[tuple[v.SecurityGroupId, ...], Meta(max_length=16)] = ()
    """Groups of the builder; empty: a temporary one."""
    ssh_source_cidrs: Annotated[tuple[v.Cidr, ...], Meta(max_length=16)] = ()
    """Address ranges from which the temporary security group lets ssh in; empty: from everywhere, as Packer does."""
    associate_public_ip: bool | None = None
    """Give the builder a public address; unset: as the subnet says."""
    communicator: Literal["ssh", "session-manager"] = "ssh"
    """How Packer reaches the builder; `session-manager` needs an instance profile and opens no port."""
    iam_instance_profile: v.InstanceProfile | None = None
    """Instance profile of the builder."""
    builder: Builder = Builder()
    """Network, address, access, market and user data of the builder."""
    ami_name: v.AmiName | None = None
    """Name of the AMI; unset: `{name}-{platform}-{architecture}-{build}`. `{build}` is the id of the build."""
    base_image: Literal["eks", "plain"] = "eks"
    """Default source: the EKS optimized image of the Kubernetes version, or the plain distribution."""
    source_amis: dict[v.Platform, SourceAmi] = {}
    """Another source AMI per platform."""
    encryption: Encryption = Encryption()
    """Encryption of the snapshots."""
    root_volume: RootVolume = RootVolume()
    """The root volume."""
    tags: Annotated[dict[v.TagKey, v.TagValue], Meta(max_length=40)] = {}
    """Tags of all that is made."""
    copy_regions: Annotated[tuple[v.Region, ...], Meta(max_length=40)] = ()
    """Regions that get a copy, after the checks have passed."""
    share: Share = Share()
    """Who may launch the AMI, after the checks have passed."""
    deprecate_after_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    """Deprecate the AMI so many days after the build."""
    launch_template: LaunchTemplate = LaunchTemplate()
    """Launch templates."""


class LocalBase(_Model, frozen=True, kw_only=True):
    """A disk image to start a local build from: a file, a URL with its checksum, or package sources."""

    path: v.PathText | None = None
    """A qcow2 or raw file, relative to the spec."""
    url: v.Url | None = None
    """A download, such as one version of the official cloud image."""
    sha256: v.Sha256 | None = None
    """Checksum of the download; required with `url`."""
    mmdebstrap: bool = False
    """Make a root from package sources with mmdebstrap, as root on Debian or Ubuntu: for closed networks."""
    user: v.UserName | None = None
    """The user that cloud-init makes; unset: the distribution's."""


class Local(_Model, frozen=True, kw_only=True):
    """Builds of a local VM image, without any account."""

    bases: dict[v.Platform, LocalBase] = {}
    """Base image per platform; unset: the newest cloud image that the distribution publishes."""
    firmware: Literal["bios", "uefi"] = "bios"
    """What starts a disk with a boot loader on x86_64; arm64 has UEFI only."""
    disk_gib: Annotated[int, Meta(ge=2, le=2048)] = field(name="diskGiB", default=8)
    """Size of the disk in GiB; larger where the base is."""
    memory_mib: Annotated[int, Meta(ge=512, le=1048576)] = field(name="memoryMiB", default=2048)
    """Memory of the builder in MiB."""
    cpus: Annotated[int, Meta(ge=1, le=256)] = 2
    """Processors of the builder."""


class UserData(_Model, frozen=True, kw_only=True):
    """User data that exists already."""

    merge: v.PathText | None = None
    """A file, relative to the spec, with user data of any kind: `render`, `publish` and `user-data` put its parts into
    theirs, in the right order."""


class NodeImage(_Model, frozen=True, kw_only=True):
    """A node image: what a Kubernetes node needs beyond the stock image."""

    api_version: Literal["amigen/v1alpha1"]
    """Version of this format."""
    kind: Literal["NodeImage"]
    """Always `NodeImage`."""
    name: v.Name
    """Name of the image: prefix of AMIs, launch templates and parameters."""
    kubernetes_version: v.KubernetesVersion
    """Kubernetes version of the nodes."""
    platforms: Annotated[tuple[v.Platform, ...], Meta(min_length=1)]
    """Operating systems to make the image for."""
    architectures: Annotated[tuple[v.Architecture, ...], Meta(min_length=1)] = ("x86_64",)
    """Processor architectures."""
    kube_proxy: KubeProxy = KubeProxy()
    """What kube-proxy will be on these nodes."""
    modules: Modules = Modules()
    """Kernel modules to load at every boot."""
    packages: Annotated[tuple[Package, ...], Meta(max_length=256)] = ()
    """More packages, or versions for those that amigen installs."""
    sysctls: dict[v.SysctlKey, v.SysctlValue | int] = {}
    """Kernel parameters, set at every boot. Not those that kube-proxy sets itself."""
    files: Annotated[tuple[File, ...], Meta(max_length=256)] = ()
    """Files to write."""
    hooks: Hooks = Hooks()
    """Scripts of your own."""
    package_sources: PackageSources = PackageSources()
    """Proxy and mirrors for closed networks."""
    join: Join = Join()
    """How the node joins a cluster."""
    user_data: UserData = UserData()
    """User data that exists already."""
    gate: bool | None = None
    """Start kubelet only on a node that is ready. Unset: on for a spec that joins a cluster, and on the EKS images of
    al2023 and Ubuntu (`aws.baseImage: eks`, also with `sourceAmis`), whoever joins the node."""
    aws: Aws = Aws()
    """Images and launch templates on AWS."""
    local: Local = Local()
    """Local VM images."""

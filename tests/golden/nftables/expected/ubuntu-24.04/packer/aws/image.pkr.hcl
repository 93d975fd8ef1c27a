# Ubuntu 24.04 for kube-proxy in nftables mode, as an AMI. Written by amigen 0.1.0; do not edit.
# In this folder: packer init . && packer build .
# Regions, sharing and the tag of success come after the checks: `amigen build` and `amigen publish` do that.

variable "build" {
  type        = string
  default     = ""
  description = "What makes the name unique; empty: the time."
}

variable "builder_address" {
  type        = string
  default     = null
  description = "Where to reach the builder in place of its own address, such as the end of a tunnel."
}

variable "builder_port" {
  type        = number
  default     = 22
  description = "Port of its ssh."
}

variable "root_device" {
  type        = string
  default     = "/dev/sda1"
  description = "Root device of the source AMI; under another name its volume would be a second disk."
}

variable "endpoint_url" {
  type        = string
  default     = null
  description = "Another address of EC2, such as a local stand-in or a VPC endpoint."
}

variable "offline" {
  type        = bool
  default     = false
  description = "Do not ask AWS whether region and credentials are valid."
}

variable "verify_public_key" {
  type        = string
  default     = ""
  description = "Public key that is let in until the cleaning, for the command in `hook`."
}

variable "source_ami_x86_64" {
  type        = string
  default     = ""
  description = "AMI to start from; empty: what the SSM parameter says."
}

variable "source_ami_arm64" {
  type        = string
  default     = ""
  description = "AMI to start from; empty: what the SSM parameter says."
}

variable "hook" {
  type        = string
  default     = "echo \"$AMIGEN_EVENT: nothing is verified here; 'amigen build' does\""
  description = "Command that is run before the bootstrap (AMIGEN_EVENT is started), after it (proven) and after the cleaning (clean); the build fails when it fails."
}

variable "manifest" {
  type        = string
  default     = "manifest.json"
  description = "File that names what was built."
}

locals {
  build = var.build != "" ? var.build : formatdate("YYYYMMDD-hhmmss", timestamp())

  tags = {
    "amigen/digest"   = "333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167"
    "amigen/name"     = "nftables-nodes"
    "amigen/platform" = "ubuntu-24.04"
    "amigen/build"    = local.build
  }
}

data "amazon-parameterstore" "x86_64" {
  name   = "/aws/service/canonical/ubuntu/eks/24.04/1.35/stable/current/amd64/hvm/ebs-gp3/ami-id"
  region = "us-east-1"
}

source "amazon-ebs" "x86_64" {
  region                     = "us-east-1"
  custom_endpoint_ec2        = var.endpoint_url
  skip_region_validation     = var.offline
  skip_credential_validation = var.offline

  ami_name        = "nftables-nodes-ubuntu-24.04-x86_64-${local.build}"
  ami_description = "Ubuntu 24.04 for kube-proxy in nftables mode, Kubernetes 1.35"
  imds_support    = "v2.0"
  tags            = local.tags
  snapshot_tags   = local.tags

  source_ami = var.source_ami_x86_64 != "" ? var.source_ami_x86_64 : data.amazon-parameterstore.x86_64.value

  instance_type   = "t3.medium"
  run_tags        = merge(local.tags, { "Name" = "nftables-nodes-ubuntu-24.04-x86_64-${local.build} (builder)" })
  run_volume_tags = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = var.root_device
    volume_type           = "gp3"
    volume_size           = 20
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
    encrypted             = true
  }

  communicator            = "ssh"
  ssh_username            = "ubuntu"
  ssh_timeout             = "15m"
  ssh_host                = var.builder_address
  ssh_port                = var.builder_port
  temporary_key_pair_type = "ed25519"
  # amigen finds the key pair by this name when Packer was killed and could not remove it.
  temporary_key_pair_name = "amigen-${local.build}-nftables-nodes-ubuntu-24.04-x86_64"

  aws_polling {
    delay_seconds = 15
    max_attempts  = 960
  }
}

data "amazon-parameterstore" "arm64" {
  name   = "/aws/service/canonical/ubuntu/eks/24.04/1.35/stable/current/arm64/hvm/ebs-gp3/ami-id"
  region = "us-east-1"
}

source "amazon-ebs" "arm64" {
  region                     = "us-east-1"
  custom_endpoint_ec2        = var.endpoint_url
  skip_region_validation     = var.offline
  skip_credential_validation = var.offline

  ami_name        = "nftables-nodes-ubuntu-24.04-arm64-${local.build}"
  ami_description = "Ubuntu 24.04 for kube-proxy in nftables mode, Kubernetes 1.35"
  imds_support    = "v2.0"
  tags            = local.tags
  snapshot_tags   = local.tags

  source_ami = var.source_ami_arm64 != "" ? var.source_ami_arm64 : data.amazon-parameterstore.arm64.value

  instance_type   = "t4g.medium"
  run_tags        = merge(local.tags, { "Name" = "nftables-nodes-ubuntu-24.04-arm64-${local.build} (builder)" })
  run_volume_tags = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = var.root_device
    volume_type           = "gp3"
    volume_size           = 20
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
    encrypted             = true
  }

  communicator            = "ssh"
  ssh_username            = "ubuntu"
  ssh_timeout             = "15m"
  ssh_host                = var.builder_address
  ssh_port                = var.builder_port
  temporary_key_pair_type = "ed25519"
  # amigen finds the key pair by this name when Packer was killed and could not remove it.
  temporary_key_pair_name = "amigen-${local.build}-nftables-nodes-ubuntu-24.04-arm64"

  aws_polling {
    delay_seconds = 15
    max_attempts  = 960
  }
}

build {
  sources = [
    "source.amazon-ebs.x86_64",
    "source.amazon-ebs.arm64",
  ]

  provisioner "shell" {
    execute_command = "{{ .Vars }} bash -e {{ .Path }}"
    inline          = ["test -z '${var.verify_public_key}' || echo '${var.verify_public_key}' >>~/.ssh/authorized_keys"]
  }

  # cloud-init may still install packages and hold the package manager's lock. An image may come without it, and how it
  # ended is nothing to the bootstrap.
  provisioner "shell" {
    # Packer uploads each script to /tmp; on hardened images nothing can be executed from there (noexec), but bash reads it.
    execute_command = "{{ .Vars }} bash -e {{ .Path }}"
    inline = [
      "command -v cloud-init >/dev/null || exit 0",
      "timeout 900 cloud-init status --wait >/dev/null || test $? != 124 || { echo 'cloud-init does not end'; exit 1; }",
    ]
  }

  provisioner "shell-local" {
    environment_vars = [
      "AMIGEN_EVENT=started",
      "AMIGEN_INSTANCE=${build.ID}",
      "AMIGEN_HOST=${build.Host}",
      "AMIGEN_PORT=${build.Port}",
      "AMIGEN_USER=${build.User}",
    ]
    execute_command = ["bash", "-c", "{{ .Vars }} bash -e {{ .Script }}"]
    inline          = [var.hook]
  }

  provisioner "shell" {
    # Nothing restarts sshd here: a builder that does not answer for a minute is gone.
    execute_command     = "{{ .Vars }} bash -e {{ .Path }}"
    start_retry_timeout = "1m"
    script              = "${path.root}/../../scripts/bootstrap.sh"
  }

  # Only a boot shows that the modules persist.
  provisioner "shell" {
    execute_command   = "{{ .Vars }} bash -e {{ .Path }}"
    expect_disconnect = true
    inline            = ["sudo -n systemctl reboot"]
  }

  provisioner "shell" {
    execute_command     = "{{ .Vars }} bash -e {{ .Path }}"
    pause_before        = "10s"
    start_retry_timeout = "15m"
    inline              = ["uptime"]
  }

  provisioner "shell-local" {
    environment_vars = [
      "AMIGEN_EVENT=proven",
      "AMIGEN_INSTANCE=${build.ID}",
      "AMIGEN_HOST=${build.Host}",
      "AMIGEN_PORT=${build.Port}",
      "AMIGEN_USER=${build.User}",
    ]
    execute_command = ["bash", "-c", "{{ .Vars }} bash -e {{ .Script }}"]
    inline          = [var.hook]
  }

  provisioner "shell" {
    # Nothing restarts sshd here: a builder that does not answer for a minute is gone.
    execute_command     = "{{ .Vars }} bash -e {{ .Path }}"
    start_retry_timeout = "1m"
    script              = "${path.root}/../../scripts/hygiene.sh"
  }

  provisioner "shell-local" {
    environment_vars = [
      "AMIGEN_EVENT=clean",
      "AMIGEN_INSTANCE=${build.ID}",
      "AMIGEN_HOST=${build.Host}",
      "AMIGEN_PORT=${build.Port}",
      "AMIGEN_USER=${build.User}",
    ]
    execute_command = ["bash", "-c", "{{ .Vars }} bash -e {{ .Script }}"]
    inline          = [var.hook]
  }

  post-processor "manifest" {
    output = var.manifest
  }
}

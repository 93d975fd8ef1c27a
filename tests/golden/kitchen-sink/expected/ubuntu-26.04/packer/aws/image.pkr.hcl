# Ubuntu 26.04 for kube-proxy in ipvs mode, as an AMI. Written by amigen 0.1.0; do not edit.
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
  build        = var.build != "" ? var.build : formatdate("YYYYMMDD-hhmmss", timestamp())
  deprecate_at = timeadd(timestamp(), "8760h")

  tags = {
    "Name"            = "kitchen sink"
    "amigen/digest"   = "c03d12a38454179c9d6367851ea402277b2646cdf0c296301f685a37be65fb96"
    "amigen/name"     = "kitchen-sink"
    "amigen/platform" = "ubuntu-26.04"
    "cost:center"     = "a/b=c+d@e_f.g"
    "amigen/build"    = local.build
  }
}

data "amazon-parameterstore" "arm64" {
  name   = "/company/ubuntu/arm64"
  region = "us-gov-west-1"
}

source "amazon-ebs" "arm64" {
  region                     = "us-gov-west-1"
  custom_endpoint_ec2        = var.endpoint_url
  skip_region_validation     = var.offline
  skip_credential_validation = var.offline

  ami_name        = "kitchen-sink-ubuntu-26.04-arm64-${local.build}"
  ami_description = "Ubuntu 26.04 for kube-proxy in ipvs mode, Kubernetes 1.36"
  imds_support    = "v2.0"
  deprecate_at    = local.deprecate_at
  tags            = local.tags
  snapshot_tags   = local.tags

  source_ami = var.source_ami_arm64 != "" ? var.source_ami_arm64 : data.amazon-parameterstore.arm64.value

  instance_type               = "m7g.large"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_id                   = "subnet-0123456789abcdef0"
  security_group_ids          = ["sg-0123456789abcdef0"]
  associate_public_ip_address = false
  iam_instance_profile        = "amigen-builder"
  run_tags                    = merge(local.tags, { "Name" = "kitchen-sink-ubuntu-26.04-arm64-${local.build} (builder)" })
  run_volume_tags             = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = var.root_device
    volume_type           = "gp3"
    volume_size           = 80
    iops                  = 6000
    throughput            = 500
    delete_on_termination = true
    encrypted             = true
    kms_key_id            = "12345678-1234-1234-1234-123456789012"
  }

  communicator            = "ssh"
  ssh_username            = "ubuntu"
  ssh_timeout             = "15m"
  ssh_interface           = "session_manager"
  ssh_host                = var.builder_address
  ssh_port                = var.builder_port
  temporary_key_pair_type = "ed25519"
  # amigen finds the key pair by this name when Packer was killed and could not remove it.
  temporary_key_pair_name = "amigen-${local.build}-kitchen-sink-ubuntu-26.04-arm64"

  aws_polling {
    delay_seconds = 15
    max_attempts  = 960
  }
}

build {
  sources = [
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

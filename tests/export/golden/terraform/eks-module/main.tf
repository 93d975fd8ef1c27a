# Amazon Linux 2023 for kube-proxy in ipvs mode, on EKS. Written by amigen 0.1.0; do not edit.
# terraform init && terraform apply -var vpc_id=VPC -var 'subnet_ids=["SUBNET", "SUBNET"]'

variable "cluster_name" {
  type    = string
  default = "batch"
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "public_access_cidrs" {
  type        = list(string)
  default     = []
  description = "Address ranges outside of the VPC that reach the API server. Default: none."
}

variable "self_managed" {
  type        = bool
  default     = false
  description = "Make Auto Scaling groups in place of managed node groups."
}

data "aws_partition" "current" {}

data "aws_ssm_parameter" "image_x86_64" {
  name = "/amigen/batch-nodes/al2023/x86_64"
}

locals {
  group_x86_64 = {
    min_size     = 1
    max_size     = 3
    desired_size = 1

    ami_id   = data.aws_ssm_parameter.image_x86_64.insecure_value
    ami_type = "AL2023_x86_64_STANDARD"
    # The module puts its own NodeConfig, which has the cluster, behind these parts.
    cloudinit_pre_nodeadm = jsondecode(file("${path.module}/user-data.parts.json"))

    # For `amigen verify SPEC ssm://INSTANCE`.
    iam_role_additional_policies = {
      ssm = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
    }
    metadata_options = {
      http_endpoint               = "enabled"
      http_tokens                 = "required"
      http_put_response_hop_limit = 1
    }
    block_device_mappings = {
      root = {
        device_name = "/dev/xvda"
        ebs = {
          volume_size           = 20
          volume_type           = "gp3"
          delete_on_termination = true
          encrypted             = true
        }
      }
    }
    tags = {
      "amigen/architecture" = "x86_64"
      "amigen/digest"       = "af51f887ae562e65e9a29e8e8888ca009d3a4d146a65c3810635019b25088d3e"
      "amigen/name"         = "batch-nodes"
      "amigen/platform"     = "al2023"
    }
  }
}

# https://registry.terraform.io/modules/terraform-aws-modules/eks/aws
module "eks" {
  source  = "terraform-aws-modules/eks/aws"
  version = "~> 21.0"

  name               = var.cluster_name
  kubernetes_version = "1.34"
  vpc_id             = var.vpc_id
  subnet_ids         = var.subnet_ids

  endpoint_public_access       = length(var.public_access_cidrs) > 0
  endpoint_public_access_cidrs = length(var.public_access_cidrs) > 0 ? var.public_access_cidrs : null
  # Else nobody may use the cluster: the module gives no right to the one who makes it.
  enable_cluster_creator_admin_permissions = true

  addons = {
    coredns = {}
    kube-proxy = {
      configuration_values = "{\"mode\": \"ipvs\", \"ipvs\": {\"scheduler\": \"rr\"}}"
    }
    vpc-cni = {
      before_compute = true
    }
  }

  eks_managed_node_groups = var.self_managed ? null : {
    "batch-nodes-al2023-x86_64" = merge(local.group_x86_64, {
      instance_types = ["t3.medium"]
      # With an AMI of its own EKS adds nothing to the user data: the module does.
      enable_bootstrap_user_data = true
    })
  }

  self_managed_node_groups = var.self_managed ? {
    "batch-nodes-al2023-x86_64" = merge(local.group_x86_64, {
      instance_type = "t3.medium"
    })
  } : null
}

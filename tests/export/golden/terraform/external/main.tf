# User data that amigen makes when Terraform plans. Written by amigen 0.1.0; do not edit.
variable "spec" {
  type        = string
  description = "The spec, such as node-image.yaml."
}

data "external" "user_data" {
  program = ["amigen", "--quiet", "user-data", var.spec, "--platform", "al2023", "--format", "external"]
}

# For `user_data` of aws_launch_template.
output "user_data_base64" {
  value = data.external.user_data.result.user_data_base64
}

# For `cloudinit_pre_nodeadm` of terraform-aws-eks.
output "cloudinit_pre_nodeadm" {
  value = jsondecode(lookup(data.external.user_data.result, "parts", "[]"))
}

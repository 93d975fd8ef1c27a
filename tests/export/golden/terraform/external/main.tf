# User data that amigen makes when Terraform plans. Written by amigen 0.1.0; do not edit.
variable "spec" {
  type        = string
  description = "The spec, such as node-image.yaml."
}

data "external" "user_data" {
  program = [
    "bash", "-euc",
    "document=$(amigen --quiet user-data \"$0\" --platform al2023 --base64); printf '{\"base64\":\"%s\"}' \"$document\"",
    var.spec,
  ]
}

# For `user_data` of aws_launch_template, which takes base64.
output "user_data_base64" {
  value = data.external.user_data.result.base64
}

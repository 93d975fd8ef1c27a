# Amazon Linux 2023 for kube-proxy in ipvs mode, as launch templates. Written by amigen 0.1.0; do not edit.

data "aws_ssm_parameter" "image_x86_64" {
  name = "/amigen/batch-nodes/al2023/x86_64"
}

resource "aws_launch_template" "x86_64" {
  name      = "batch-nodes-al2023-x86_64"
  image_id  = data.aws_ssm_parameter.image_x86_64.insecure_value
  user_data = filebase64("${path.module}/user-data.mime")

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = 20
      volume_type           = "gp3"
      delete_on_termination = true
      encrypted             = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags = {
      "amigen/architecture" = "x86_64"
      "amigen/digest"       = "af51f887ae562e65e9a29e8e8888ca009d3a4d146a65c3810635019b25088d3e"
      "amigen/name"         = "batch-nodes"
      "amigen/platform"     = "al2023"
    }
  }

  tag_specifications {
    resource_type = "volume"
    tags = {
      "amigen/architecture" = "x86_64"
      "amigen/digest"       = "af51f887ae562e65e9a29e8e8888ca009d3a4d146a65c3810635019b25088d3e"
      "amigen/name"         = "batch-nodes"
      "amigen/platform"     = "al2023"
    }
  }
}

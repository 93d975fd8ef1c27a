# Packer 1.7 and later: `packer init` installs what this names. Packer 1.6 has the builder inside and takes image.pkr.hcl
# alone.
packer {
  required_version = ">= 1.7.0"

  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1.1"
    }
  }
}

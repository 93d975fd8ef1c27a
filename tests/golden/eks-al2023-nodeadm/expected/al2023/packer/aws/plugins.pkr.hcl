# Packer 1.7 and later: `packer init` installs what this names. Packer 1.6 has the builder inside, see packer-1.6/.
packer {
  required_version = ">= 1.7.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.8"
    }
  }
}

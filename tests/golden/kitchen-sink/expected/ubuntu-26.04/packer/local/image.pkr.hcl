# Ubuntu 26.04 for kube-proxy in ipvs mode, as a disk image. Written by amigen 0.1.0; do not edit.
# `amigen build --target local` fills in the variables. By hand, with a cloud image, a key and a NoCloud seed for it:
#   packer init . && packer build -var base=IMAGE -var 'seed=["user-data","meta-data"]' -var ssh_private_key_file=KEY .

variable "base" {
  type        = string
  description = "Disk image to start from."
}

variable "seed" {
  type        = list(string)
  default     = []
  description = "Files user-data and meta-data of a NoCloud seed that lets the key in."
}

variable "ssh_username" {
  type        = string
  default     = "ubuntu"
  description = "The user that the seed lets in."
}

variable "ssh_private_key_file" {
  type        = string
  description = "Its private key."
}

variable "qemu_binary" {
  type        = string
  default     = "qemu-system-aarch64"
  description = "QEMU."
}

variable "machine_type" {
  type        = string
  default     = "virt"
  description = "QEMU's machine."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "`kvm`, or `tcg` for software emulation."
}

variable "qemuargs" {
  type        = list(list(string))
  default     = []
  description = "More arguments of QEMU, such as [[\"-cpu\", \"host\"]], or a kernel for a disk without a boot loader."
}

variable "disk_size" {
  type        = string
  default     = "12G"
  description = "Size of the disk, at least that of the base."
}

variable "output_directory" {
  type        = string
  default     = "image"
  description = "New folder for the image."
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

source "qemu" "image" {
  disk_image       = true
  iso_url          = var.base
  iso_checksum     = "none"
  format           = "qcow2"
  disk_size        = var.disk_size
  disk_cache       = "unsafe"
  disk_interface   = "virtio"
  output_directory = var.output_directory
  vm_name          = "disk.qcow2"

  cd_files = var.seed
  cd_label = "cidata"

  qemu_binary  = var.qemu_binary
  machine_type = var.machine_type
  accelerator  = var.accelerator
  cpus         = 4
  memory       = 4096
  net_device   = "virtio-net-pci"
  headless     = true
  qemuargs     = var.qemuargs

  communicator         = "ssh"
  ssh_username         = var.ssh_username
  ssh_private_key_file = var.ssh_private_key_file
  ssh_timeout          = "30m"
  boot_wait            = "-1s"
  boot_command         = []
  # --force: services are not stopped one by one, so that none writes into the cleaned image (a random seed, a log).
  shutdown_command = "sudo -n systemctl poweroff --force"
  shutdown_timeout = "10m"
}

build {
  sources = ["source.qemu.image"]

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

  provisioner "shell-local" {
    environment_vars = [
      "AMIGEN_EVENT=proven",
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

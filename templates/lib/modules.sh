# check_kernels MODULE...: every kernel that may boot has each module with all that it depends on, or has it built in.
# What a removed kernel has left has no modules.builtin.
check_kernels() {
  local dir module name file kernel
  for dir in /lib/modules/*/modules.builtin; do
    dir=${dir%/*} kernel=${dir##*/}
    for module in "$@"; do
      [[ -f $dir/modules.dep ]] || continue
      name="/${module//[-_]/[-_]}\.ko"
      if grep -q "$name" "$dir/modules.builtin"; then continue; fi
      file=$(grep "^[^:]*${name}[^:]*:" "$dir/modules.dep") ||
        fail "the kernel $kernel has no module $module: $(package_with_module "$module" "$kernel")"
      for file in ${file/:/}; do
        [[ -e $dir/$file || -e $file ]] || fail "the kernel $kernel lacks $file, which $module needs: $(package_with_module "$module" "$kernel")"
      done
    done
  done
}

# refuse LINE PLACE WHY: a line of modprobe's effective configuration, kernel command line included (a container has that of
# its host), and where it is written.
refuse() {
  local line place
  line=$(modprobe -c 2>/dev/null | grep -E "$1") || return 0
  place=$(grep -rnE "$2" /{etc,run,usr/local/lib,lib}/modprobe.d 2>/dev/null | head -n 1 | cut -d: -f1,2) || true
  if [[ -z $place && -n ${AMIGEN_NO_KERNEL:-} ]]; then return 0; fi
  fail "${place:-the kernel command line} says \"${line%%$'\n'*}\": $3"
}

# Sets `missing` to the modules that are neither loaded nor built in.
find_unloaded() {
  local module
  missing=()
  for module in "${@//-/_}"; do
    [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$(uname -r)/modules.builtin" || missing+=("$module")
  done
}

load_modules() {
  local missing said names wanted
  step='load modules'
  check_kernels "$@"
  # modprobe would load these now, and systemd-modules-load not at the next boot.
  names=$(IFS='|' && echo "${*//[-_]/[-_]}")
  refuse "^(blacklist|install) ($names)( |$)" "^\s*(blacklist|install)\s+($names)(\s|$)" 'the module would not be loaded at boot'
  [[ $(readlink -f {/etc,/run}/systemd/system/systemd-modules-load.service) != */dev/null* ]] ||
    fail 'systemd-modules-load.service is masked, and would load nothing at boot: unmask it'
  if [[ -n ${AMIGEN_NO_KERNEL:-} ]]; then return 0; fi
  find_unloaded "$@"
  ((${#missing[@]})) || return 0
  wanted=${missing[*]}
  said=$(modprobe -a "${missing[@]}" 2>&1) || true
  find_unloaded "$@"
  ((!${#missing[@]})) || fail "cannot load ${missing[*]}: ${said##*$'\n'} (does the kernel $(uname -r) load modules?)"
  changes=$((changes + 1))
  log "loaded $wanted"
}

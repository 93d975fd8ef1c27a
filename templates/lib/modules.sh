# Sets `missing` to the modules that are neither loaded nor built into the running kernel.
find_unloaded() {
  local module
  missing=()
  for module in "${@//-/_}"; do
    # What is built in has no folder there, unless it has parameters.
    [[ -d /sys/module/$module ]] || grep -qs "/${module//_/[-_]}\.ko" "/lib/modules/$kernel/modules.builtin" || missing+=("$module")
  done
}

# check_kernels MODULE...: each installed kernel has each module and what it depends on, as a file or built in.
check_kernels() {
  local dir version module line file names
  local -A found
  names=$(
    IFS='|'
    printf '%s' "${*//[-_]/[-_]}"
  )
  for dir in /lib/modules/*/; do
    [[ -f ${dir}modules.dep && -d ${dir}kernel ]] || continue
    version=${dir%/}
    version=${version##*/}
    found=()
    while read -r line; do
      module=${line%%:*}
      module=${module##*/}
      module=${module%%.ko*}
      found["${module//-/_}"]=1
      [[ $line == *:* ]] || continue
      for file in ${line/:/ }; do
        [[ -e $dir$file || -e $file ]] || fail "the kernel $version lacks $file, which $module needs: $(package_with_module "$module" "$version")"
      done
    done < <(grep -hE "/($names)\.ko" "${dir}modules.dep" "${dir}modules.builtin" 2>/dev/null)
    for module in "$@"; do
      [[ -n ${found["${module//-/_}"]:-} ]] || fail "the kernel $version has no module $module: $(package_with_module "$module" "$version")"
    done
  done
}

# load_modules MODULE...
load_modules() {
  local kernel missing=() said
  step='load modules'
  check_kernels "$@"
  if [[ -n ${AMIGEN_NO_KERNEL:-} ]]; then
    log 'no kernel of its own here (AMIGEN_NO_KERNEL): modules are persisted, not loaded'
    return 0
  fi
  read -r kernel </proc/sys/kernel/osrelease
  find_unloaded "$@"
  ((${#missing[@]} > 0)) || return 0
  said=$(modprobe -a -- "${missing[@]}" 2>&1) || true
  local wanted="${missing[*]}"
  find_unloaded "$@"
  ((${#missing[@]} == 0)) || fail "cannot load ${missing[*]}: $(why_not_loaded "${missing[0]}" "$said")"
  changes=$((changes + 1))
  log "loaded $wanted"
}

# why_not_loaded MODULE MODPROBE-OUTPUT
why_not_loaded() {
  local blocked lockdown='' disabled=0
  blocked=$(grep -rhE "^[[:space:]]*(install|blacklist)[[:space:]]+$1([[:space:]]|$)" /{etc,run,usr/lib}/modprobe.d 2>/dev/null | head -n 1) || true
  [[ ! -r /sys/kernel/security/lockdown ]] || read -r lockdown </sys/kernel/security/lockdown
  [[ ! -r /proc/sys/kernel/modules_disabled ]] || read -r disabled </proc/sys/kernel/modules_disabled
  if [[ ! -e /proc/modules ]]; then
    printf 'the kernel %s cannot load modules at all: boot one that can, or one that has them built in' "$kernel"
  elif [[ $disabled == 1 ]]; then
    printf 'the kernel loads no more modules until the next reboot (sysctl kernel.modules_disabled=1)'
  elif [[ ! -d /lib/modules/$kernel ]]; then
    printf 'no modules of the running kernel %s are installed (reboot after a kernel update?)' "$kernel"
  elif [[ -n $blocked ]]; then
    printf 'modprobe.d says "%s"' "$blocked"
  elif [[ $said =~ Key\ was\ rejected\ by\ service|Required\ key\ not\ available ||
    ($said == *'Operation not permitted'* && $lockdown =~ \[(integrity|confidentiality)\]) ]]; then
    # Under Secure Boot lockdown is normal, and says nothing by itself: modules with a signature load.
    printf 'Secure Boot or lockdown refuses modules without a valid signature (%s)' "${said##*$'\n'}"
  elif [[ -n $said ]]; then
    printf '%s; %s' "${said##*$'\n'}" "$(package_with_module "$1" "$kernel")"
  else
    package_with_module "$1" "$kernel"
  fi
}

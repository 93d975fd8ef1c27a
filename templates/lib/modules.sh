# is_there MODULE: loaded, or part of the running kernel.
is_there() {
	[[ -d /sys/module/${1//-/_} ]] || grep -qs "/${1//[-_]/[-_]}\.ko" "/lib/modules/$(uname -r)/modules.builtin"
}

# load_modules FILE...: those that the files of modules-load.d name.
load_modules() {
	local module modules lack said loaded=''
	step='load modules'
	mapfile -t modules < <(grep -hv '^#' "$@")
	for module in "${modules[@]}"; do
		read -ra lack < <(lacking "$module" "${module//[-_]/[-_]}") || continue
		fail "${lack[*]}: $(package_with_module "$module" "${lack[2]}")"
	done
	if read -r said < <(IFS='|' && skipped "${modules[*]//[-_]/[-_]}"); then fail "a module would not be loaded at boot: $said"; fi
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	for module in "${modules[@]}"; do
		if is_there "$module"; then continue; fi
		said=$(modprobe "$module" 2>&1) || :
		is_there "$module" || fail "cannot load $module: ${said##*$'\n'} (does the kernel $(uname -r) load modules?)"
		loaded+=" $module"
	done
	[[ -n $loaded ]] || return 0
	changes=$((changes + 1))
	log "loaded$loaded"
}

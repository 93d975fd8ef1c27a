# load_modules FILE...: those that the files of modules-load.d name.
load_modules() {
	local module modules lack said loaded=''
	mapfile -t modules < <(grep -hv '^#' "$@")
	for module in "${modules[@]}"; do
		read -ra lack < <(lacking "$module" "${module//[-_]/[-_]}") || continue
		fail "${lack[*]}: $(package_with_module "$module" "${lack[2]}")"
	done
	if read -r said < <(IFS='|' && skipped "${modules[*]//[-_]/[-_]}"); then fail "a module would not be loaded at boot: $said"; fi
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	for module in "${modules[@]}"; do
		if [[ -d /sys/module/${module//-/_} ]]; then continue; fi
		# Of a module that is built in, it says nothing; of one that an install line for a pattern replaces, the line.
		if ! said=$(modprobe -v "$module" 2>&1) || [[ $said && ! -d /sys/module/${module//-/_} ]]; then
			fail "cannot load $module: ${said%%$'\n'*} (does the kernel $(uname -r) load modules?)"
		fi
		loaded+=${said:+ $module}
	done
	[[ -n $loaded ]] || return 0
	((changes += 1))
	log "loaded$loaded"
}

# load_modules FILE...: of modules-load.d, where nothing keeps them from being loaded at boot.
load_modules() {
	local module modules lack said
	mapfile -t modules < <(grep -hv '^#' "$@")
	for module in "${modules[@]}"; do
		read -ra lack < <(lacking "$module" "${module//[-_]/[-_]}") || continue
		fail "${lack[*]}: $(package_with_module "$module" "${lack[2]}")"
	done
	if read -r said < <(IFS='|' && skipped "${modules[*]//[-_]/[-_]}"); then fail "a module would not be loaded at boot: $said"; fi
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	said=$(modprobe -av "${modules[@]}" 2>&1) || :
	for module in "${modules[@]}"; do
		# An install line for a pattern may have loaded nothing.
		[[ -d /sys/module/${module//-/_} || $(modinfo -n "$module" 2>&1) == '(builtin)' ]] ||
			fail "cannot load $module: ${said%%$'\n'*} (does the kernel $(uname -r) load modules?)"
	done
	[[ $said == *insmod* ]] || return 0
	((changes += 1))
	log "loaded ${modules[*]}"
}

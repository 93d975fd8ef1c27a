load_modules() {
	mapfile -t modules < <(grep -hv '^#' "$@")
	for module in "${modules[@]}"; do
		read -ra said < <(lacking "$module" "${module//[-_]/[-_]}") && fail "${said[*]}: $(package_with_module "$module" "${said[2]}")"
	done
	read -r said < <(IFS='|' && skipped "${modules[*]//[-_]/[-_]}") && fail "a module would not load at boot: $said"
	# -n: silent where all are loaded or built in.
	[[ -z ${AMIGEN_NO_KERNEL:-} && $(modprobe -anv "${modules[@]}" 2>&1) ]] || return 0
	said=$(modprobe -a "${modules[@]}" 2>&1) || :
	[[ -z $(modprobe -anv "${modules[@]}" 2>&1) ]] || fail "cannot load modules: ${said%%$'\n'*}"
	change "loaded ${modules[*]}"
}

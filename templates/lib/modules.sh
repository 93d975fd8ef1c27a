# is_there MODULE: loaded, or part of the running kernel.
is_there() {
	[[ -d /sys/module/${1//-/_} ]] || grep -qs "/${1//[-_]/[-_]}\.ko" "/lib/modules/$(uname -r)/modules.builtin"
}

# check_kernels MODULE...: each installed kernel has them and what they need. A removed one has no modules.builtin.
check_kernels() {
	local dir module name files file kernel
	for dir in /lib/modules/*; do
		kernel=${dir##*/}
		[[ -f $dir/modules.builtin && -f $dir/modules.dep ]] || continue
		for module in "$@"; do
			name="/${module//[-_]/[-_]}\.ko"
			if grep -q "$name" "$dir/modules.builtin"; then continue; fi
			files=$(grep "^[^:]*${name}[^:]*:" "$dir/modules.dep") || files=$module.ko
			for file in ${files/:/}; do
				[[ -e $dir/$file || -e $file ]] ||
					fail "the kernel $kernel lacks $file, which $module needs: $(package_with_module "$module" "$kernel")"
			done
		done
	done
}

# refuse LINE PLACE WHY: fails if modprobe's configuration has LINE. A container sees its host's command line.
refuse() {
	local line place
	line=$(modprobe -c 2>/dev/null | grep -E "$1") || return 0
	place=$(grep -rnE "$2" /{etc,run,usr/local/lib,lib}/modprobe.d 2>/dev/null | head -n 1 | cut -d: -f1,2) || true
	[[ -n $place || -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	fail "${place:-the kernel command line} says \"${line%%$'\n'*}\": $3"
}

# load_modules FILE...: those that the files of modules-load.d name.
load_modules() {
	local module modules names said='' loaded=''
	step='load modules'
	mapfile -t modules < <(grep -hv '^#' "$@")
	check_kernels "${modules[@]}"
	# modprobe loads these, systemd-modules-load does not.
	names=$(IFS='|' && echo "${modules[*]//[-_]/[-_]}")
	refuse "^(blacklist|install) ($names)( |$)" "^\s*(blacklist|install)\s+($names)(\s|$)" 'the module would not be loaded at boot'
	[[ $(readlink -f {/etc,/run}/systemd/system/systemd-modules-load.service) != */dev/null* ]] ||
		fail 'systemd-modules-load.service is masked: unmask it'
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	for module in "${modules[@]}"; do
		if is_there "$module"; then continue; fi
		said=$(modprobe "$module" 2>&1) || true
		is_there "$module" || fail "cannot load $module: ${said##*$'\n'} (does the kernel $(uname -r) load modules?)"
		loaded+=" $module"
	done
	[[ -n $loaded ]] || return 0
	changes=$((changes + 1))
	log "loaded$loaded"
}

# SECONDS NAME[=VERSION]...: network and locks need time; what is installed counts.
ensure_packages() {
	local end=$(($(uptime) + $1)) code='' delay=2 said why='' out=/run/amigen/packages.log
	while
		missing=()
		for name in "${@:2}"; do [[ $(version_of "$name") ]] || missing+=("$name"); done
		((${#missing[@]}))
	do
		if [[ $code ]]; then
			((code)) || fail "no package is named ${missing[*]}"
			# First cause, last line; a killed one may say nothing.
			said=$(sed -nE "0,/$causes/{s/$causes/\n&/;s/.*\n//p};\$p" "$out" | uniq | sed '$!N;s/\n/; /')
			why=${said:-$why}
			((end - $(uptime) > delay + 10)) || fail "cannot install ${missing[*]} within $1 s: $why"
			log "not yet ($why); again in $delay s"
			bounded 0 sleep "$delay"
			((delay > 20)) || ((delay *= 2))
		fi
		change "installing ${missing[*]}"
		code=0
		install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
	done
}

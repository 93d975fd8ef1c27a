#!/usr/bin/env bash
# amigen 0.1.0: makes Ubuntu 24.04 ready for kube-proxy in nftables mode. Steps: see main.
# shellcheck disable=SC1091,SC2016
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C HOME=/root
umask 022
units=(snap.kubelet-eks.daemon.service kubelet.service)
drop_in='# By amigen. To start anyway: touch /etc/amigen/ignore-gate
[Service]
ExecCondition=+/bin/sh -c "[ -e /etc/amigen/ignore-gate -o -e /run/amigen/open ] || bash /usr/local/lib/amigen/ready || { echo %n >>/run/amigen-held; exit 1; }"
'

release=/etc/amigen/release.json state=/var/lib/amigen changes=0 reason='' step=start new=''

# To 7: callers may redirect stdout.
log() {
	printf 'amigen: %s\n' "$*" >&7 || :
}

fail() {
	reason=$*
	exit 1
}

# WHAT: before a change. Without release.json a node is not ready.
change() {
	step=$1
	((changes += 1))
	log "$step"
	rm -f "$release"
}

# Since boot: the clock may be set.
uptime() {
	cut -d. -f1 /proc/uptime
}

# SECONDS COMMAND...: bash handles a signal while it waits.
bounded() {
	timeout -k 30 "$@" 8>&- &
	wait "$!"
}

on_exit() {
	local code=$?
	((code)) || return 0
	trap '' HUP INT TERM
	set +e
	jobs -pr | xargs -r kill
	wait
	rm -rf "$new"
	close_gate
	log "FAILED: ${reason:-$step: a command ended with code $code}"
	exit "$code"
}

begin() {
	# stdout may be closed or lose its reader.
	{ exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
	trap : PIPE
	trap on_exit EXIT
	trap 'reason="stopped by a signal"; exit 143' HUP INT TERM
	# An image's record must not open a new node's gate.
	[[ ! -e $state/baked ]] || rm -f "$release" "$state/baked"
	mkdir -p /run/amigen "$state" || fail "cannot make $state: no root, full or read-only?"
	exec 8>/run/amigen/lock
	flock -w 900 8 || fail 'another run is at work'
	os=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}") || :
	[[ $os == "$1" ]] || fail "this script is for $1, not $os"
}

# PATH MODE TEXT: all of it or nothing.
put_file() {
	path=$1
	[[ -f $path && $(stat -c %a:%u:%g "$path") == "$2:0:0" && $(<"$path") == "${3%$'\n'}" ]] && return
	change "writing $path"
	# Modules of others are still loaded.
	[[ $path != /etc/modules-load.d/* || ! -f $path ]] || grep -q 'y amigen, ' "$path" || mv -v --backup=t "$path" "${path%.conf}.before-amigen.conf" >&7
	mkdir -p "${path%/*}"
	rm -f "$path".amigen.*
	new=$(mktemp "$path.amigen.XXXXXX")
	printf %s "$3" >"$new"
	chmod "$2" "$new"
	sync "$new"
	mv -fT "$new" "$path"
}

become_root() {
	local sudo why='sudo asks for a password'
	((EUID)) || return 0
	sudo=$(command -v sudo) || why='there is no sudo on this machine'
	[[ -f $0 ]] || why='this script was not run as a file'
	if [[ -n $sudo && -f $0 ]] && "$sudo" -n true 2>/dev/null; then
		exec "$sudo" -n -- env AMIGEN_NO_KERNEL="${AMIGEN_NO_KERNEL:-}" bash "$0"
	fi
	echo "amigen: FAILED: this needs root, and $why"
	exit 1
}

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

causes='Failed to fetch|Release file|The repository|Could not get lock|dpkg: error|No space'

version_of() {
	# shellcheck disable=SC2016 # dpkg-query's own fields
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "${1%%=*}" 2>/dev/null | sed -n 's/^installed //p' |
		if [[ $1 == *=* ]]; then grep -xF "${1#*=}"; else cat; fi
}

# Nobody answers what a package, or needrestart on Ubuntu, would ask.
unattended() {
	local left=$((end - $(uptime)))
	((left > 0)) || return 124
	bounded "$left" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a NEEDRESTART_SUSPEND=1 "$@"
}

apt_get() {
	# It gives up, and names who holds the lock, before its time is over.
	local left=$((end - $(uptime) - 10))
	# Half of the processor time of an update: no descriptions (apt.conf(5)), and gzip in place of xz.
	unattended apt-get -y -o DPkg::Lock::Timeout="$((left > 0 ? left : 0))" -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
		-o Acquire::Languages=none -o Acquire::CompressionTypes::Order::=gz \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

install_packages() {
	local torn name
	# Also after a failed update: the package may come from a source that works.
	apt_get update || :
	apt_get install --reinstall --no-install-recommends --allow-downgrades -- "$@" && return
	# An earlier installation may have been cut short: unpack again what was not unpacked to the end, then configure the rest.
	mapfile -t torn < <(dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status} ${binary:Package}\n' | sed -nE 's/^(reinstreq .*|.* half-installed) //p')
	# One by one: no source may have one of them.
	for name in "${torn[@]}"; do apt_get install --reinstall --no-install-recommends -- "$name" || :; done
	unattended dpkg --force-confold --configure -a && return 1
}

# MODULE KERNEL: what to install.
package_with_module() {
	local name
	for name in linux-{modules-extra,modules,image}-$2; do
		if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
			printf 'the package %s should have it' "$name"
			return
		fi
	done
	printf 'no package for the kernel %s is known here; a kernel such as linux-generic, linux-aws or linux-image-amd64 has it' "$2"
}

# MODULE PATTERN: what installed kernels lack of it and of what it needs; a removed one has no modules.builtin.
lacking() (
	for builtin in /lib/modules/*/modules.builtin; do
		cd "${builtin%/*}" || continue
		grep -q "/$2\.ko" modules.builtin && continue
		files=$(grep "^[^:]*/$2\.ko" modules.dep | tr -d :) || :
		for file in ${files:-$1.ko}; do
			[ -e "$file" ] || echo "the kernel ${PWD##*/} lacks $file, which $1 needs"
		done
	done
) 2>/dev/null

# PATTERN: rules of modprobe, with the place; the first file of a name counts.
rules() {
	find /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d -maxdepth 1 -name '*.conf' -xtype f,c | awk -F/ '!seen[$NF]++' |
		xargs -rd '\n' awk -v pattern="^[ \t]*$1" '{ rule = rule $0 } !sub(/\\$/, "", rule) { if (rule ~ pattern) print FILENAME ":" FNR ":" rule; rule = "" }'
}

# PATTERN: why systemd-modules-load skips a module.
skipped() (
	set +e
	find /etc/systemd /run/systemd -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n'
	rules "(blacklist|install)[ \t]+($1)([ \t]|$)"
	# A container sees its host's.
	[ "${AMIGEN_NO_KERNEL:-}" ] || grep -onHE "\S*blacklist=(\S*,)?($1)\b" /proc/cmdline
) 2>/dev/null

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

# FOLDER: drop-ins ask ready before kubelet starts; a running one goes on.
hold() {
	for unit in "${units[@]}"; do put_file "$1/systemd/system/$unit.d/10-amigen-ready.conf" 644 "$drop_in"; done
	# One that crash-loops is never 30 s old.
	! pgrep -xO 30 kubelet >/dev/null || touch /run/amigen/open
}

open_gate() {
	[[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	rm -f /run/amigen/open
	# A unit that just asked is noted by then.
	sleep 1
	systemctl restart amigen-ready || fail "$(bash /usr/local/lib/amigen/ready 2>&1)"
}

# A node that was ready and not changed stays so.
close_gate() {
	[[ -d /run/systemd/system && ! -e $release ]] || return 0
	(set -e && hold /run)
	systemctl daemon-reload
	[[ ! -e /run/amigen/open ]] || log 'kubelet may start again until the next boot'
}

# JSON PACKAGE...: JSON without its end.
write_release() {
	packages=''
	for name in "${@:2}"; do packages+="${packages:+, }\"$name\": \"$(version_of "$name")\""; done
	[[ $(cat "$release" 2>/dev/null) == "$1,"* ]] || put_file "$release" 644 "$1,
  \"kernel\": \"$([[ ${AMIGEN_NO_KERNEL:-} ]] || uname -r)\",
  \"packages\": {$packages},
  \"time\": \"$(date -u +%FT%TZ)\"
}
"
}

main() {
	become_root
	begin 'ubuntu 24.04'
	put_file /usr/local/lib/amigen/ready 755 '#!/usr/bin/env bash
# At boot and before each start of kubelet: may it join?
not_ready() {
	echo "amigen-ready: this node is NOT ready: $*" >&2
	exit 1
}
[[ -s /etc/amigen/release.json ]] || not_ready "the bootstrap has not run to its end: see /var/log/cloud-init-output.log"
for module in nf_tables nf_conntrack; do
	[[ -d /sys/module/$module || $(/sbin/modinfo -n "$module" 2>&1) == "(builtin)" ]] || not_ready "the module $module is not loaded"
done
echo "amigen-ready: this node is ready for kube-proxy in nftables mode"
xargs -ra /run/amigen-held systemctl start --no-block 2>/dev/null
rm -f /run/amigen-held
'
	put_file /etc/systemd/system/amigen-ready.service 644 '[Unit]
Description=amigen: ready for kube-proxy in nftables mode
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash /usr/local/lib/amigen/ready
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
'
	hold /etc
	systemctl -q enable amigen-ready.service
	ensure_packages 600 nftables
	put_file /etc/modules-load.d/amigen.conf 644 '# By amigen, for kube-proxy in nftables mode.
nf_tables
nf_conntrack
'
	load_modules /etc/modules-load.d/amigen.conf
	write_release '{
  "name": "nftables-nodes",
  "digest": "333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167",
  "platform": "ubuntu-24.04",
  "kubernetesVersion": "1.35",
  "kubeProxyMode": "nftables",
  "amigen": "0.1.0"' nftables
	open_gate
	log "ready: $changes changes"
}

main

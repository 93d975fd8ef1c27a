#!/usr/bin/env bash
# amigen 0.1.0: makes Ubuntu 26.04 ready for kube-proxy in ipvs mode. Steps: see main.
# shellcheck disable=SC1091,SC2016
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C HOME=/root
umask 022
export http_proxy=http://proxy.example.internal:3128/
export https_proxy=http://proxy.example.internal:3128/
export no_proxy='localhost,127.0.0.1,169.254.169.254,fd00:ec2::254,mirror.example.internal,.svc,10.0.0.0/8,*.example.com'
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

# PATH MODE OWNER:GROUP TEXT [DECODER]: all of it or nothing; keeps a copy of what was there.
replace_file() {
	local path=$1 kept=$state/kept$1 decoder=${5:-cat}
	[[ -f $path && $(sha256sum <"$path") == $(printf %s "$4" | $decoder | sha256sum) && $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}") ]] && return
	change "writing $path"
	if [[ -f $path || -L $path ]]; then
		if ! (umask 077 && mkdir -p "${kept%/*}" && cp -aT --backup=t "$path" "$kept"); then
			rm -f "$kept" || :
			fail "cannot keep a copy of $path: is the disk full?"
		fi
		log "kept the existing $path as $kept"
	fi
	# Nobody but root can replace the file in the new folder.
	rm -rf "${path%/*}"/.amigen.*
	{ mkdir -p "${path%/*}/" && new=$(mktemp -d "${path%/*}/.amigen.XXXXXX") && (cd "$new" && [[ -O . ]] && printf %s "$4" | $decoder >file &&
		chown "$3" file && chmod "$2" file && sync file && mv -fT file "$path"); } || fail "cannot write $path: a folder, disk full, read-only, or no such user as $3?"
	rmdir "$new"
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
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dir::Etc::SourceList=/etc/apt/sources.list.d/amigen.sources -o Dir::Etc::SourceParts=- "$@"
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

# What ip_vs is told at boot of the size of its table, with the place.
table_at_boot() (
	set +e
	{
		rules "options[ \t]+ip[-_]vs[ \t](.*[ \t])?conn[-_]tab[-_]bits="
		# A container sees its host's.
		[ "${AMIGEN_NO_KERNEL:-}" ] || grep -onHE "\bip_vs[.]conn[-_]tab[-_]bits=\S*" /proc/cmdline
	} | sed -E "s/^([^:]*:[0-9]+):.*\bconn[-_]tab[-_]bits=(\S*).*/\1 sets conn_tab_bits=\2/"
) 2>/dev/null

# BITS: nothing sets another size; a table of another size is made anew where nothing uses it.
size_table() {
	local now line users
	step='size the table'
	while read -r line; do
		[[ $line == *"=$1" ]] || fail "$line, the spec wants $1: remove one of them"
	done < <(table_at_boot)
	[[ -z ${AMIGEN_NO_KERNEL:-} && -d /sys/module/ip_vs ]] || return 0
	# From Linux 7.1 on, /proc/net/ip_vs shows the present size.
	read -r now </sys/module/ip_vs/parameters/conn_tab_bits
	[[ $now != "$1" ]] || return 0
	mapfile -t users < <(ls /sys/module/ip_vs/holders)
	if modprobe -r -- "${users[@]}" ip_vs 2>/dev/null; then
		log "unloaded ip_vs (it had conn_tab_bits=$now), to load it with $1"
	else
		log "WARNING: ip_vs is in use with conn_tab_bits=$now; $1 holds after the next reboot"
	fi
}

# PATH VALUE: what else the last file that sets it at boot sets; no pattern beats a key. a.b/c is a/b.c.
sysctl_at_boot() (
	PATH=$PATH:/usr/lib/systemd:/lib/systemd
	type systemd-sysctl awk >/dev/null 2>&1 || exit 0
	found=$(systemd-sysctl --cat-config | awk -v path="$1" '
		/^# [^ ]*sysctl[^ ]*[.]conf$/ { file = $2 }
		/^[ 	]*[#;]/ || !/=/ { next }
		{
			key = $0
			sub(/[ 	]*=.*/, "", key)
			sub(/^[ 	]*-?/, "", key)
			sub(/^[^=]*=/, "")
			$1 = $1
			if (key ~ /^[^.\/]*[.]/) {
				gsub("/", ":", key)
				gsub("[.]", "/", key)
				gsub(":", ".", key)
			}
			if (path == "/proc/sys/" key) last = $0 " by " file
		}
		END { print last }')
	[ "${found% by *}" = "$2" ] || echo "$1 should be set to $2 at boot; it is set to ${found:-nothing}"
)

# /proc/sys/PATH VALUE
set_sysctl() {
	local now said
	said=$(sysctl_at_boot "$@")
	[[ -z $said ]] || fail "$said: remove one of them"
	[[ -z ${AMIGEN_NO_KERNEL:-} ]] || return 0
	[[ -e $1 ]] || fail "this kernel has no $1: does it need a module?"
	read -r now <"$1" || :
	[[ ${now//$'\t'/ } != "$2" ]] || return 0
	printf '%s\n' "$2" 2>/dev/null >"$1" || fail "the kernel does not take \"$2\" for $1"
	((changes += 1))
	log "set $1 to $2"
}

# NAME once|always SHA256 SCRIPT DECODER|"" [INTERPRETER...]
run_hook() {
	local name=$1 stamp=$state/hooks/$1.sha256 file=/usr/local/lib/amigen/hooks/$1
	[[ $2 == once && -f $stamp && $(<"$stamp") == "$3" ]] && return
	replace_file "$file" 700 root:root "$4" "$5"
	change "running the hook $name"
	cd /
	bounded 0 "${@:6}" "$file" || fail "the hook $name ended with code $?"
	put_file "$stamp" 644 "$3
"
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
	begin 'ubuntu 26.04'
	put_file /usr/local/lib/amigen/ready 755 '#!/usr/bin/env bash
# At boot and before each start of kubelet: may it join?
not_ready() {
	echo "amigen-ready: this node is NOT ready: $*" >&2
	exit 1
}
[[ -s /etc/amigen/release.json ]] || not_ready "the bootstrap has not run to its end: see /var/log/cloud-init-output.log"
for module in ip_vs ip_vs_lblcr nf_conntrack br_netfilter nf_nat; do
	[[ -d /sys/module/$module || $(/sbin/modinfo -n "$module" 2>&1) == "(builtin)" ]] || not_ready "the module $module is not loaded"
done
# In a table of its own.
unshare -n /sbin/ipvsadm -A -t 127.0.0.1:80 -s lblcr || not_ready "ipvs does not take the scheduler lblcr"
echo "amigen-ready: this node is ready for kube-proxy in ipvs mode"
xargs -ra /run/amigen-held systemctl start --no-block 2>/dev/null
rm -f /run/amigen-held
'
	put_file /etc/systemd/system/amigen-ready.service 644 '[Unit]
Description=amigen: ready for kube-proxy in ipvs mode
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
	run_hook trust-ca once b40d08aa8c5c3ece0919f588723340c2e1ea07e818539e4d5c5288cb6944ea86 'update-ca-certificates
' '' bash -euo pipefail
	replace_file /etc/apt/sources.list.d/amigen.sources 644 root:root '# Package source of packageSources.mirrors; written by amigen.
Types: deb
URIs: https://mirror.example.internal/ubuntu?a=1&b=(2);c
Suites: resolute resolute-updates
Components: main
Signed-By: /etc/apt/keyrings/mirror.asc
'
	replace_file '/etc/profile.d/it'\''s $(here).sh' 644 root:root '# '\''quotes'\'' "quotes" $(id) `id` ${HOME} {{ name }} %{ if } \n \ EOF
--==boundary==
Content-Type: text/x-shellscript

#!/bin/sh
'
	replace_file /opt/control 755 root:root TlVMIAAgZXNjYXBlIBsgY2FycmlhZ2UNCmxpbmXigKhzZXBhcmF0b3I= 'base64 -d'
	replace_file /opt/empty 644 root:root ''
	ensure_packages 300 ipvsadm=1:1.31-2 conntrack
	replace_file /opt/no-newline-at-end 4750 1000:daemon 'tab	umlaut äöü, emoji 😀, no line end'
	replace_file /opt/bytes 600 nobody:root AAECA//+/Q0KAA== 'base64 -d'
	put_file /etc/modules-load.d/ipvs.conf 644 '# By amigen, for kube-proxy in ipvs mode.
ip_vs
ip_vs_lblcr
nf_conntrack
'
	put_file /etc/modules-load.d/amigen.conf 644 '# By amigen, for kube-proxy in ipvs mode.
br-netfilter
nf_nat
'
	put_file /etc/modprobe.d/amigen-ipvs.conf 644 '# The ipvs connection table has 2^18 buckets.
options ip_vs conn_tab_bits=18
'
	size_table 18
	load_modules /etc/modules-load.d/ipvs.conf /etc/modules-load.d/amigen.conf
	put_file /etc/sysctl.d/90-amigen.conf 644 '# By amigen.
net/core/somaxconn = 32768
net/bridge/bridge-nf-call-iptables = 1
net/ipv4/ip_local_port_range = 10240 65000
net/ipv4/conf/eth0.1/rp_filter = 2
kernel/core_pattern = |/bin/false $(id) `id` '\''"
'
	set_sysctl /proc/sys/net/core/somaxconn 32768
	set_sysctl /proc/sys/net/bridge/bridge-nf-call-iptables 1
	set_sysctl /proc/sys/net/ipv4/ip_local_port_range '10240 65000'
	set_sysctl /proc/sys/net/ipv4/conf/eth0.1/rp_filter 2
	set_sysctl /proc/sys/kernel/core_pattern '|/bin/false $(id) `id` '\''"'
	run_hook python-hook always 0d82da06edca9568c4791dd36ff45e4e97a79eed2be59ce184b610aa76d59160 '#!/usr/bin/env python3
print("it'\''s $HOME")
' ''
	write_release '{
  "name": "kitchen-sink",
  "digest": "c03d12a38454179c9d6367851ea402277b2646cdf0c296301f685a37be65fb96",
  "platform": "ubuntu-26.04",
  "kubernetesVersion": "1.36",
  "kubeProxyMode": "ipvs",
  "amigen": "0.1.0",
  "scheduler": "lblcr"' ipvsadm conntrack
	open_gate
	log "ready: $changes changes"
}

main

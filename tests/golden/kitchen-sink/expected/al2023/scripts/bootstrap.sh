#!/usr/bin/env bash
# amigen 0.1.0: makes Amazon Linux 2023 ready for kube-proxy in ipvs mode. Steps: `main`, at the end.
# Safe to repeat. The last line of the output says how it ended.
# shellcheck disable=SC1091,SC2016
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C HOME=/root
umask 022
export http_proxy=http://proxy.example.internal:3128/
export https_proxy=http://proxy.example.internal:3128/
export no_proxy='localhost,127.0.0.1,169.254.169.254,fd00:ec2::254,mirror.example.internal,.svc,10.0.0.0/8,*.example.com'
gated_units=(nodeadm-run.service kubelet.service)
drop_in='# By amigen; stops nothing that runs. To start anyway, make the second path.
[Unit]
Wants=amigen-ready.service
After=amigen-ready.service
AssertPathExists=|/run/amigen-ready
AssertPathExists=|/etc/amigen/ignore-gate
'

release=/etc/amigen/release.json state_dir=/var/lib/amigen
unfinished=$state_dir/unfinished changes=0 reason='' step=start

# To 7: what calls it may write into a file.
log() {
	printf 'amigen: %s\n' "$*" >&7 || :
}

fail() {
	reason=$*
	exit 1
}

# change WHAT: before each change. Without its release, a node is not ready, after a reboot too.
change() {
	step=$1
	((changes += 1))
	log "$step"
	rm -f "$release"
}

# Seconds since boot: the clock may be set.
uptime() {
	cut -d. -f1 /proc/uptime
}

# bounded SECONDS COMMAND...: bash handles signals while it waits; timeout(1) ends all of the command.
bounded() {
	timeout -k 30 "$@" 8>&- &
	wait "$!"
}

on_exit() {
	local code=$?
	((code)) || return 0
	trap '' HUP INT TERM EXIT
	set +e
	jobs -pr | xargs -r kill
	wait
	# A node that was ready stays so where nothing was changed.
	[[ -e $release && ! -e $unfinished ]] || close_gate
	log "FAILED: ${reason:-$step: a command ended with code $code}"
	exit "$code"
}

# begin OS: of /etc/os-release.
begin() {
	# stdout may be closed, or lose its reader.
	{ exec 7>&1; } 2>/dev/null || exec 7>/dev/null >&7 2>&7
	trap : PIPE
	trap on_exit EXIT
	trap 'reason="stopped by a signal"; exit 143' HUP INT TERM
	mkdir -p /run/amigen "$state_dir" || fail "cannot make $state_dir: no root, disk full or read-only?"
	exec 8>/run/amigen/lock
	flock -w 900 8 || fail 'another run has held the lock for 900 s'
	# What an image recorded must not open the gate of a new node.
	if mv -f "$state_dir/baked" "$unfinished" 2>/dev/null; then close_gate; fi
	os=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}")
	[[ $os == "$1" ]] || fail "this script is for $1; this machine is $os"
}

# put_file PATH MODE OWNER:GROUP TEXT [DECODER]: all of it or nothing; keeps a copy of what was there.
put_file() {
	local path=$1 kept=$state_dir/kept$1 new=${1%/*}/.amigen.new decoder=${5:-cat}
	if [[ -f $path && $(sha256sum <"$path") == $(printf %s "$4" | $decoder | sha256sum) && $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}") ]]; then return; fi
	change "writing $path"
	if [[ -f $path || -L $path ]]; then
		# What others load at boot is still loaded.
		[[ $path != /etc/modules-load.d/@(ipvs|amigen).conf ]] || grep -qs amigen "$path" || kept=${path%.conf}.before-amigen.conf
		if ! (umask 077 && mkdir -p "${kept%/*}") || ! cp -aT --backup=numbered "$path" "$kept"; then
			rm -f "$kept"
			fail "cannot keep a copy of $path: is the disk full?"
		fi
		log "kept the existing $path as $kept"
	fi
	# Nobody but root can replace the file in the new folder.
	rm -rf "$new"
	if ! (mkdir -p "${path%/*}/" && mkdir -m 700 "$new" && cd "$new" && [[ -O . ]] && printf %s "$4" | $decoder >file &&
		chown "$3" file && chmod "$2" file && sync file && mv -fT file "$path"); then
		rm -rf "$new"
		fail "cannot write $path: a folder, disk full, read-only, or no such user as $3?"
	fi
	rmdir "$new"
}

finish() {
	if ((changes)); then log "ready: $changes changes"; else log 'nothing to do: no package manager was called'; fi
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

# Sets `missing`; fails where all are installed.
find_missing() {
	local name
	missing=()
	for name in "$@"; do [[ $(version_of "$name") ]] || missing+=("$name"); done
	((${#missing[@]}))
}

# The first cause and the last line.
why_in() {
	{
		grep -m 1 -oE "($causes|No space).*" "$1"
		tail -n 1 "$1"
	} | uniq | sed '$!N;s/\n/; /'
}

# ensure_packages SECONDS NAME[=VERSION]...: network, mirror and lock may need time.
ensure_packages() {
	local limit=$1 end=$(($(uptime) + $1)) code delay=2 why='no message' out=/run/amigen/packages.log
	shift
	find_missing "$@" || return 0
	change "installing ${missing[*]}"
	while
		code=0
		install_packages "${missing[@]}" >"$out" 2>&1 || code=$?
		# It also fails for an unrelated source: what counts is what is installed.
		find_missing "$@"
	do
		((code)) || fail "installed, but there is no package ${missing[*]}: is that its name?"
		tail -n 12 "$out" | grep '' | sed 's/^/  | /' || :
		# One that was stopped may have said nothing.
		why=$(why_in "$out" | grep . || echo "$why")
		((end - $(uptime) > delay + 10)) || fail "cannot install ${missing[*]} within $limit s: $why"
		log "that did not work ($why); again in $delay s"
		bounded 0 sleep "$delay"
		((delay > 20)) || ((delay *= 2))
	done
}

causes='Curl error|Status code|RPM: error'

version_of() {
	rpm -q --qf '%{EVR}\n' "$1" 2>/dev/null | grep -v ' '
}

install_packages() {
	# The package may come from a repository that works.
	bounded "$((end - $(uptime)))" dnf -y '--setopt=*.skip_if_unavailable=True' --setopt=install_weak_deps=False \
		--setopt=retries=2 --setopt=timeout=20 install "${@/=/-}"
}

# package_with_module MODULE KERNEL: for exactly this kernel.
package_with_module() {
	found=$(timeout 120 dnf -q repoquery --whatprovides "*/$2/*/$1.ko*" --qf '%{name}-%{evr}\n' 2>/dev/null | sort -u | xargs)
	echo "${found:+install }${found:-no repository here has it}"
}

# lacking MODULE PATTERN: what installed kernels lack of it and of what it needs; a removed one has no modules.builtin.
lacking() (
	for builtin in /lib/modules/*/modules.builtin; do
		cd "${builtin%/*}" || continue
		if grep -q "/$2\.ko" modules.builtin; then continue; fi
		files=$(grep "^[^:]*/$2\.ko[^:]*:" modules.dep | tr -d :) || :
		for file in ${files:-$1.ko}; do
			[ -e "$file" ] || echo "the kernel ${PWD##*/} lacks $file, which $1 needs"
		done
	done
) 2>/dev/null

# skipped PATTERN: why systemd-modules-load skips a module; modprobe does not, but knows which files count.
skipped() (
	set +e
	find /etc/systemd /run/systemd -name systemd-modules-load.service -lname /dev/null -printf '%p is masked\n'
	said=$(modprobe_config | grep -oE "^(blacklist|install) ($1)( |$)" || grep -oE "module_blacklist=(\S*,)?($1)\b" /proc/cmdline) || exit 0
	# A container sees its host's command line.
	place=$(grep -RnoE "^\s*(blacklist|install)\s+($1)\b|\S*blacklist=(\S*,)?($1)\b" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d "${AMIGEN_NO_KERNEL:-/proc/cmdline}")
	[ "$place" ] || grep -qE "blacklist=(\S*,)?($1)\b" /proc/cmdline || place="modprobe -c:$said"
	echo "$place" | grep .
) 2>/dev/null

# Without modprobe, as in images of containers, its files as they are.
modprobe_config() {
	modprobe -S none -c || cat /etc/modprobe.d/*.conf /run/modprobe.d/*.conf /lib/modprobe.d/*.conf
}

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

# option_settings MODULE OPTION: a line for each value that modprobe's configuration gives the option, with the place.
option_settings() (
	set +e
	modprobe_config | grep "^options $1 " | tr ' -' '\n_' | sed -n "s/^$2=//p" | sort -u | while read -r value; do
		place=$(grep -RnE "^[^#]*$(echo "$2" | tr _ .)=$value(\s|$)" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /lib/modprobe.d /proc/cmdline |
			head -n 1 | cut -d: -f1,2)
		# A container sees its host's command line.
		case ${AMIGEN_NO_KERNEL:-}$place in ?*/proc/cmdline*) ;; *) echo "${place:-modprobe -c} sets $2=$value" ;; esac
	done
) 2>/dev/null

# settle_option MODULE OPTION VALUE: nothing sets another value; a module that is loaded with one is loaded anew where
# nothing uses it.
settle_option() {
	local now line users=()
	step="set $2"
	while read -r line; do
		[[ $line == *"=$3" ]] || fail "$line, and the spec wants $2=$3: remove one of them"
	done < <(option_settings "$1" "$2")
	[[ -z ${AMIGEN_NO_KERNEL:-} && -r /sys/module/$1/parameters/$2 ]] || return 0
	# The parameter, and not /proc/net/ip_vs, which from Linux 7.1 on shows the table's present size.
	read -r now <"/sys/module/$1/parameters/$2"
	[[ $now != "$3" ]] || return 0
	if [[ -d /sys/module/$1/holders ]]; then mapfile -t users < <(ls "/sys/module/$1/holders"); fi
	if modprobe -r -- "${users[@]}" "$1" 2>/dev/null; then
		log "unloaded $1 (it had $2=$now), to load it with $2=$3"
	else
		log "WARNING: $1 is in use with $2=$now; $2=$3 holds after the next reboot"
	fi
}

# sysctl_at_boot PATH VALUE: says what else the last file that sets it at boot sets. a.b/c is a/b.c; a key may be a pattern.
sysctl_at_boot() (
	program=/usr/lib/systemd/systemd-sysctl
	[ -x "$program" ] || program=/lib/systemd/systemd-sysctl
	if [ ! -x "$program" ] || ! command -v awk >/dev/null; then exit 0; fi
	found=$("$program" --cat-config | awk -v path="$1" '
		/^# [^ ]*sysctl[^ ]*[.]conf$/ { file = $2 }
		/^[ 	]*[#;]/ || !/=/ { next }
		{
			key = value = $0
			sub(/[ 	]*=.*/, "", key)
			sub(/^[ 	]*-?/, "", key)
			sub(/^[^=]*=[ 	]*/, "", value)
			gsub(/[ 	]+/, " ", value)
			sub(/ $/, "", value)
			if (key ~ /^[^.\/]*[.]/) {
				gsub("/", ":", key)
				gsub("[.]", "/", key)
				gsub(":", ".", key)
			}
			gsub("[.]", "[.]", key)
			gsub("[*]", "[^/]*", key)
			if (path ~ "^/proc/sys/" key "$") last = value " by " file
		}
		END { print last }')
	[ "${found% by *}" = "$2" ] || echo "$1 should be set to $2 at boot; it is set to ${found:-nothing}"
)

# set_sysctl /proc/sys/PATH VALUE
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

# run_hook NAME once|always SHA256 SCRIPT DECODER|"" [INTERPRETER...]
run_hook() {
	local name=$1 stamp=$state_dir/hooks/$1.sha256 file=/usr/local/lib/amigen/hooks/$1
	if [[ $2 == once && -f $stamp && $(<"$stamp") == "$3" ]]; then return 0; fi
	put_file "$file" 700 root:root "$4" "$5"
	change "running the hook $name"
	cd /
	bounded 0 "${@:6}" "$file" || fail "the hook $name ended with code $?"
	put_file "$stamp" 644 root:root "$3
"
}

# At each boot amigen-ready.service judges the node; the drop-in holds kubelet until then.
install_gate() {
	local unit
	for unit in "${gated_units[@]}"; do
		put_file "/etc/systemd/system/$unit.d/10-amigen-ready.conf" 644 root:root "$drop_in"
	done
	# systemd reads all of it, where it runs.
	systemctl -q enable amigen-ready
}

open_gate() {
	[[ -d /run/systemd/system && -z ${AMIGEN_NO_KERNEL:-} && ($changes != 0 || ! -d /run/amigen-ready) ]] || return 0
	systemctl restart amigen-ready || fail "$(bash /usr/local/lib/amigen/ready 2>&1)"
}

# A kubelet that runs goes on; one that was started again less than 30 s ago crash-loops.
close_gate() {
	local unit since dir
	[[ -d /run/systemd/system ]] || return 0
	for unit in "${gated_units[@]}"; do
		since=$(systemctl show -P ActiveEnterTimestampMonotonic "$unit")
		if systemctl -q is-active "$unit" && [[ $(systemctl show -P NRestarts "$unit") == 0 || $((since / 1000000 + 30)) -lt $(uptime) ]]; then
			log "$unit runs, and may be started again until the next boot"
			mkdir -p /run/amigen-ready
			return
		fi
		# Where the gate could not be installed.
		dir=/run/systemd/system/$unit.d
		mkdir -p "$dir" && printf %s "$drop_in" >"$dir/10-amigen-ready.conf"
	done
	systemctl daemon-reload
	# Jobs in the queue stay there.
	systemctl stop --job-mode=ignore-requirements amigen-ready 2>/dev/null || :
	rm -rf /run/amigen-ready
}

# write_release JSON PACKAGE...: JSON without its end.
write_release() {
	local text=$1 name packages=''
	shift
	if [[ $(cat "$release" 2>/dev/null) != "$text,"* ]]; then
		for name in "$@"; do packages+="${packages:+, }\"$name\": \"$(version_of "$name")\""; done
		put_file "$release" 644 root:root "$text,
  \"releasever\": \"$(cat /etc/dnf/vars/releasever 2>/dev/null || rpm -q --qf '%{VERSION}' system-release)\",
  \"kernel\": \"$([[ ${AMIGEN_NO_KERNEL:-} ]] || uname -r)\",
  \"packages\": {$packages},
  \"time\": \"$(date -u +%FT%TZ)\"
}
"
	fi
	rm -f "$unfinished"
}

main() {
	become_root
	begin 'amzn 2023'
	put_file /usr/local/lib/amigen/ready 755 root:root '#!/usr/bin/env bash
# At each boot: may this node join?
set -euo pipefail
not_ready() {
	echo "amigen-ready: this node is NOT ready: $*" >&2
	exit 1
}
[[ ! -e /var/lib/amigen/unfinished && -s /etc/amigen/release.json ]] ||
	not_ready "the bootstrap has not run to its end: see /var/log/cloud-init-output.log"
for module in ip_vs ip_vs_lblcr nf_conntrack br_netfilter nf_nat; do
	[[ -d /sys/module/$module || $(modinfo -n "$module" 2>&1) == "(builtin)" ]] || not_ready "the module $module is not loaded"
done
# In a table of its own.
unshare -n ipvsadm -A -t 127.0.0.1:80 -s lblcr || not_ready "ipvs does not take the scheduler lblcr"
# What the gate refused may start.
for unit in nodeadm-run.service kubelet.service; do
	if [[ $(systemctl show -p AssertResult,AssertTimestampMonotonic "$unit") == *=no*=[1-9]* ]]; then systemctl start --no-block "$unit" || :; fi
done
echo "amigen-ready: this node is ready for kube-proxy in ipvs mode"
'
	put_file /etc/systemd/system/amigen-ready.service 644 root:root '[Unit]
Description=amigen: ready for kube-proxy in ipvs mode
# So that a held unit is remembered.
Before=nodeadm-run.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory=amigen-ready
ExecStart=/usr/bin/env bash /usr/local/lib/amigen/ready
TimeoutStartSec=60
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
'
	install_gate
	run_hook trust-ca once b40d08aa8c5c3ece0919f588723340c2e1ea07e818539e4d5c5288cb6944ea86 'update-ca-certificates
' '' bash -euo pipefail
	put_file '/etc/profile.d/it'\''s $(here).sh' 644 root:root '# '\''quotes'\'' "quotes" $(id) `id` ${HOME} {{ name }} %{ if } \n \ EOF
--==boundary==
Content-Type: text/x-shellscript

#!/bin/sh
'
	put_file /opt/control 755 root:root TlVMIAAgZXNjYXBlIBsgY2FycmlhZ2UNCmxpbmXigKhzZXBhcmF0b3I= 'base64 -d'
	put_file /opt/empty 644 root:root ''
	ensure_packages 300 ipvsadm conntrack
	put_file /opt/no-newline-at-end 4750 1000:daemon 'tab	umlaut äöü, emoji 😀, no line end'
	put_file /opt/bytes 600 nobody:root AAECA//+/Q0KAA== 'base64 -d'
	put_file /etc/modules-load.d/ipvs.conf 644 root:root '# Modules for kube-proxy in ipvs mode; written by amigen, see /etc/amigen/release.json.
ip_vs
ip_vs_lblcr
nf_conntrack
'
	put_file /etc/modules-load.d/amigen.conf 644 root:root '# Modules for kube-proxy in ipvs mode; written by amigen, see /etc/amigen/release.json.
br-netfilter
nf_nat
'
	put_file /etc/modprobe.d/amigen-ipvs.conf 644 root:root '# The ipvs connection table has 2^18 buckets.
options ip_vs conn_tab_bits=18
'
	settle_option ip_vs conn_tab_bits 18
	load_modules /etc/modules-load.d/ipvs.conf /etc/modules-load.d/amigen.conf
	put_file /etc/sysctl.d/90-amigen.conf 644 root:root '# Written by amigen.
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
  "platform": "al2023",
  "kubernetesVersion": "1.36",
  "kubeProxyMode": "ipvs",
  "amigen": "0.1.0",
  "scheduler": "lblcr"' ipvsadm conntrack
	open_gate
	finish
}

main

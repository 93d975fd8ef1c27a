#!/usr/bin/env bash
# amigen 0.1.0: makes Ubuntu 24.04 ready for kube-proxy in nftables mode. Steps: `main`, at the end.
# Safe to repeat. The last line of the output says how it ended.
# shellcheck disable=SC1091,SC2016
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C HOME=/root
umask 022
gated_units=(snap.kubelet-eks.daemon.service kubelet.service)
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

# put_file PATH MODE OWNER:GROUP TEXT: all of it or nothing; keeps a copy of what was there.
put_file() {
	local path=$1 kept=$state_dir/kept$1 new=${1%/*}/.amigen.new
	if [[ -f $path && $(sha256sum <"$path") == $(printf %s "$4" | sha256sum) && $(find "$path" -type f -perm "$2" -user "${3%:*}" -group "${3#*:}") ]]; then return; fi
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
	if ! (mkdir -p "${path%/*}/" && mkdir -m 700 "$new" && cd "$new" && [[ -O . ]] && printf %s "$4" >file &&
		chown "$3" file && chmod "$2" file && sync file && mv -fT file "$path"); then
		rm -rf "$new"
		fail "cannot write $path: a folder, disk full, read-only, or no such user as $3?"
	fi
	rmdir "$new"
}

finish() {
	if ((changes)); then log "ready: $changes changes"; else log 'nothing to do: no package manager was called'; fi
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

causes='Failed to fetch|Release file|The repository|Could not get lock|dpkg: error'

version_of() {
	# shellcheck disable=SC2016 # dpkg-query's own fields
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
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
	# Also after a failed update: the package may come from a source that works.
	apt_get update || :
	apt_get install --no-install-recommends --allow-downgrades -- "$@" && return
	# An earlier installation may have been cut short.
	unattended dpkg --force-confold --configure -a && return 1
}

# package_with_module MODULE KERNEL: what to install.
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
  \"kernel\": \"$([[ ${AMIGEN_NO_KERNEL:-} ]] || uname -r)\",
  \"packages\": {$packages},
  \"time\": \"$(date -u +%FT%TZ)\"
}
"
	fi
	rm -f "$unfinished"
}

main() {
	begin 'ubuntu 24.04'
	put_file /usr/local/lib/amigen/ready 755 root:root '#!/usr/bin/env bash
# At each boot: may this node join?
set -euo pipefail
not_ready() {
	echo "amigen-ready: this node is NOT ready: $*" >&2
	exit 1
}
[[ ! -e /var/lib/amigen/unfinished && -s /etc/amigen/release.json ]] ||
	not_ready "the bootstrap has not run to its end: see /var/log/cloud-init-output.log"
for module in nf_tables nf_conntrack; do
	[[ -d /sys/module/$module || $(modinfo -n "$module" 2>&1) == "(builtin)" ]] || not_ready "the module $module is not loaded"
done
# What the gate refused may start.
for unit in snap.kubelet-eks.daemon.service kubelet.service; do
	if [[ $(systemctl show -p AssertResult,AssertTimestampMonotonic "$unit") == *=no*=[1-9]* ]]; then systemctl start --no-block "$unit" || :; fi
done
echo "amigen-ready: this node is ready for kube-proxy in nftables mode"
'
	put_file /etc/systemd/system/amigen-ready.service 644 root:root '[Unit]
Description=amigen: ready for kube-proxy in nftables mode
# So that a held unit is remembered.
Before=snap.kubelet-eks.daemon.service kubelet.service
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
	ensure_packages 600 nftables
	put_file /etc/modules-load.d/amigen.conf 644 root:root '# Modules for kube-proxy in nftables mode; written by amigen, see /etc/amigen/release.json.
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
	finish
}

main

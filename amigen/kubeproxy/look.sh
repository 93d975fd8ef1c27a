# Run by amigen on a node, as root: prints what it sees, changes nothing and loads no kernel module.
mark() { printf '=== amigen %s\n' "$1"; }

# kube-proxy answers on its metrics address; a proxy of the environment has no business with it.
proxy_mode() {
  if command -v curl >/dev/null 2>&1; then
    curl -s --noproxy '*' --max-time 5 "http://@HOST@:@PORT@/proxyMode"
  elif command -v wget >/dev/null 2>&1; then
    wget -q --no-proxy -T 5 -O - "http://@HOST@:@PORT@/proxyMode"
  elif command -v bash >/dev/null 2>&1; then
    timeout 5 bash -c 'exec 3<>/dev/tcp/@HOST@/@PORT@ && printf "GET /proxyMode HTTP/1.0\r\n\r\n" >&3 && cat <&3' 2>/dev/null |
      sed '1,/^\r*$/d'
  fi
}

# ipvsadm would load ip_vs; where it is not loaded there is no table, and that is the answer.
ipvs_table() {
  [ -e /proc/net/ip_vs ] || return 0
  if command -v ipvsadm >/dev/null 2>&1 && table=$(ipvsadm -L -n 2>/dev/null); then
    printf '%s\n' "$table"
  else
    cat /proc/net/ip_vs
  fi
}

# nft would load nf_tables; kube-proxy in nftables mode has loaded it, whether as a module or as a part of the kernel.
nft_table() {
  [ "$mode" = nftables ] || grep -q '^nf_tables ' /proc/modules 2>/dev/null || return 0
  command -v nft >/dev/null 2>&1 && nft -j list table "$1" kube-proxy 2>/dev/null
}

release=$(uname -r)
mark host && uname -n
mark kernel && printf '%s\n' "$release"
mode=$(proxy_mode)
mark proxyMode && printf '%s\n' "$mode"
mark ipvs && ipvs_table
if ip link show dev kube-ipvs0 >/dev/null 2>&1; then
  mark kube-ipvs0 && ip -o addr show dev kube-ipvs0
fi
mark addresses && ip -o addr show 2>/dev/null
mark modules
cut -d ' ' -f 1 /proc/modules 2>/dev/null
sed 's#.*/##; s#\.ko.*##' "/lib/modules/$release/modules.builtin" 2>/dev/null
mark loadable
sed 's#:.*##; s#.*/##; s#\.ko.*##' "/lib/modules/$release/modules.dep" 2>/dev/null
mark release && cat /etc/amigen/release.json 2>/dev/null
mark nft && nft --version 2>/dev/null
mark connections && [ -e /proc/net/ip_vs_conn ] && awk '
  NR > 1 { count[$1 " " $4 " " $5 " " $6 " " $7]++ }
  END { for (pair in count) print count[pair], pair }' /proc/net/ip_vs_conn
mark conn_tab_bits && cat /sys/module/ip_vs/parameters/conn_tab_bits 2>/dev/null
mark nftables4 && nft_table ip
printf '\n'
mark nftables6 && nft_table ip6
printf '\n'
mark end
exit 0

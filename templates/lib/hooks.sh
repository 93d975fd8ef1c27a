# run_hook NAME once|always SHA256 SCRIPT [DECODER...]
run_hook() {
	local name=$1 sum=$3 first='' stamp=$state_dir/hooks/$1.sha256 file=/usr/local/lib/amigen/hooks/$1 code=0
	if [[ $2 == once && -f $stamp && $(<"$stamp") == "$sum" ]]; then return 0; fi
	put_file "$file" 700 root:root "$4" "${@:5}"
	step="hook $name"
	log "running the hook $name"
	unfinished
	cd /
	IFS= read -r first <"$file" || true
	if [[ $first == '#!'* ]]; then
		bounded 0 "$file" || code=$?
	else
		bounded 0 bash -euo pipefail "$file" || code=$?
	fi
	((code == 0)) || fail "the hook $name ended with code $code"
	if ! mkdir -p "${stamp%/*}" || ! echo "$sum" >"$stamp.new" || ! mv -f "$stamp.new" "$stamp"; then
		rm -f "$stamp.new" || true
		fail "cannot write $stamp: is the disk full?"
	fi
	changes=$((changes + 1))
}

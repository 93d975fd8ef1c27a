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

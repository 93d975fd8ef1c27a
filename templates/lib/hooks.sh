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

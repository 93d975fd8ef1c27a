# run_hook NAME once|always SHA256 SCRIPT [SHA256 of the file, where SCRIPT is base64]
run_hook() {
  local name=$1 when=$2 sum=$3 script=$4 first='' stamp=$state_dir/hooks/$1.sha256
  local file=/usr/local/lib/amigen/hooks/$1 code=0
  if [[ $when == once ]] && file_is "$stamp" "$sum"$'\n'; then return 0; fi
  put_file "$file" 700 root:root "$script" "${5:-}"
  step="hook $name"
  log "running the hook $name"
  IFS= read -r first <"$file" || true
  if [[ $first == '#!'* ]]; then
    (cd / && exec "$file") </dev/null 8>&- 9>&- || code=$?
  else
    (cd / && exec bash -euo pipefail "$file") </dev/null 8>&- 9>&- || code=$?
  fi
  ((code == 0)) || fail "the hook $name ended with code $code"
  if ! printf '%s\n' "$sum" >"$stamp.new" || ! mv -f "$stamp.new" "$stamp"; then
    rm -f "$stamp.new" || true
    fail "cannot write $stamp: is the disk full?"
  fi
  changes=$((changes + 1))
}

# write_release PATH HEAD PACKAGE...: HEAD is the JSON that is known when the script is made, without its end.
write_release() {
  local path=$1 head=$2 there='' now kernel='' name packages='' document
  shift 2
  if ((changes == 0)) && [[ -f $path ]]; then
    IFS= read -r -d '' there <"$path" || true
    if [[ $there == "$head,"* ]]; then return 0; fi
  fi
  TZ=UTC0 printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  if [[ -z ${AMIGEN_NO_KERNEL:-} ]]; then read -r kernel </proc/sys/kernel/osrelease; fi
  for name in "$@"; do
    packages+="${packages:+, }\"$name\": \"${installed["$name"]:-}\""
  done
  printf -v document '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%s"\n}\n' "$head" "$kernel" "$packages" "$now"
  put_file "$path" 644 root:root "$document"
}

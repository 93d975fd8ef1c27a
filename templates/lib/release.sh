# write_release HEAD PACKAGE...: HEAD is the JSON that is known when the script is made, without its end.
write_release() {
  local head=$1 old=$release there='' now kernel='' name packages='' document
  shift
  [[ -e $old ]] || old=$release.unfinished
  if ((changes == 0)) && [[ -f $old ]]; then
    IFS= read -r -d '' there <"$old" || true
    if [[ $there == "$head,"* ]]; then
      [[ $old == "$release" ]] || mv -fT "$old" "$release"
      return 0
    fi
  fi
  TZ=UTC0 printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  if [[ -z ${AMIGEN_NO_KERNEL:-} ]]; then read -r kernel </proc/sys/kernel/osrelease; fi
  for name in "$@"; do
    packages+="${packages:+, }\"$name\": \"${installed["$name"]:-}\""
  done
  printf -v document '%s,\n  "kernel": "%s",\n  "packages": {%s},\n  "time": "%s"\n}\n' "$head" "$kernel" "$packages" "$now"
  put_file "$release" 644 root:root "$document"
  rm -f "$release.unfinished"
}

#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager and kube-proxy from Debian's source package, and unpacks Debian's etcd,
# into ${XDG_CACHE_HOME:-~/.cache}/amigen/kubernetes-VERSION. Prints that folder. A second run finds it and is done.
#
# Needs apt-get, dpkg-dev (dpkg-source), jq, rsync, make; no root: it has an apt state of its own and installs nothing.
# About 6 minutes and 6 GB of temporary space on two cores, once.
set -euo pipefail

readonly version=1.20.2
readonly keyring=${AMIGEN_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
readonly target=${XDG_CACHE_HOME:-$HOME/.cache}/amigen/kubernetes-$version
readonly programs=(kube-apiserver kube-controller-manager kube-proxy etcd)

is_complete() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $target/$program ]] || return 1
  done
}

require() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || {
      echo "build-kubernetes: $tool is missing; apt-get install dpkg-dev jq rsync make" >&2
      exit 9
    }
  done
}

# Where this machine's own apt gets Debian 12 from.
find_mirror() {
  local found=${AMIGEN_DEBIAN_MIRROR:-}
  if [[ -z $found ]]; then
    # shellcheck disable=SC2016 # apt's own field
    found=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' 'Release: bookworm' 'Component: main' | head -n 1)
  fi
  if [[ -z $found ]]; then
    echo "build-kubernetes: this machine's apt has no source of Debian 12; name one: AMIGEN_DEBIAN_MIRROR=URL" >&2
    exit 9
  fi
  printf '%s' "${found%/}"
}

own_apt() {
  local work=$1
  shift
  apt-get -q -o "Dir::State=$work/apt/state" -o "Dir::Cache=$work/apt/cache" -o "Dir::Etc::SourceList=$work/apt/sources.list" \
    -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@" >&2
}

fetch() {
  local work=$1 mirror
  mirror=$(find_mirror)
  mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/root"
  printf '%s [signed-by=%s] %s bookworm main\n' deb "$keyring" "$mirror" deb-src "$keyring" "$mirror" >"$work/apt/sources.list"
  own_apt "$work" update
  cd "$work"
  own_apt "$work" source --download-only kubernetes
  own_apt "$work" download golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev etcd-server
  local package
  for package in ./*.deb; do
    dpkg-deb -x "$package" "$work/root"
  done
  dpkg-source --no-check -x kubernetes_*.dsc "$work/kubernetes" >&2
}

# The vendored modern-go/reflect2 panics on map types with Go 1.18 and later; Debian's own 1.0.2 does not.
replace_reflect2() {
  local work=$1 vendored=$1/kubernetes/vendor/github.com/modern-go/reflect2
  rm -rf "$vendored"
  cp -rL "$work/root/usr/share/gocode/src/github.com/modern-go/reflect2" "$vendored"
  rm -f "$vendored"/go_above_17.go "$vendored"/go_below_17.go "$vendored"/go_below_19.go "$vendored"/*_test.go
}

compile() {
  local work=$1
  export GOROOT=$work/root/usr/lib/go-1.19 GOCACHE=$work/gocache GO111MODULE=off GOFLAGS=-buildvcs=false
  export PATH=$GOROOT/bin:$PATH
  # Debian's GOROOT is a tree of links into /usr/share; make them point into our own copy.
  local link
  while read -r link; do
    ln -sfn "$work/root/usr/share/go-1.19/$(basename "$link")" "$link"
  done < <(find "$GOROOT" -maxdepth 1 -type l)
  cd "$work/kubernetes"
  KUBE_GIT_VERSION=v$version KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=archive KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 \
    make WHAT="cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-proxy" >&2
}

keep() {
  local work=$1
  mkdir -p "$(dirname "$target")"
  local fresh
  fresh=$(mktemp -d "$target.XXXXXX")
  cp "$work"/kubernetes/_output/bin/kube-{apiserver,controller-manager,proxy} "$work/root/usr/bin/etcd" "$fresh/"
  chmod 755 "$fresh"
  rm -rf "$target"
  mv "$fresh" "$target"
}

main() {
  if is_complete; then
    echo "$target"
    return
  fi
  require apt-get dpkg-source flock jq rsync make
  # Several test processes may ask at once: the first one builds.
  mkdir -p "$(dirname "$target")"
  exec 9>"$target.lock"
  flock 9
  if is_complete; then
    echo "$target"
    return
  fi
  local work
  work=$(mktemp -d "${TMPDIR:-/tmp}/amigen-kubernetes.XXXXXX")
  # The Go module and build caches are read-only to their owner.
  # shellcheck disable=SC2064
  trap "chmod -R u+w '$work'; rm -rf '$work'" EXIT
  (fetch "$work")
  replace_reflect2 "$work"
  (compile "$work")
  (keep "$work")
  echo "$target"
}

main "$@"

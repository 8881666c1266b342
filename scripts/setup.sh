#!/usr/bin/env bash
# Makes a clone ready to build: libtorch and a patched gotch in a per-user cache that all clones share, and the two
# generated, git-ignored links to them: .libtorch and go.work.
#
#   scripts/setup.sh [cpu|cuda]
#
#   cpu   (default) libtorch out of PyPI's torch wheel, without any nvidia wheel: two stub libraries stand in
#   cuda  an installed torch of the same release is used as it is; else the wheel with its nvidia wheels is installed
#         into the cache
#
# PEMA_CACHE names another cache folder. Does nothing, in well under a second, when all is in place; two at once are safe.
set -euo pipefail

torch=2.11.0
wheel_sha256=7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
gotch=v0.9.1

kind=${1:-cpu}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/pema}
lt=$cache/libtorch-$torch-$kind

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$1" >&2; shift; for h in "$@"; do printf 'setup: hint: %s\n' "$h" >&2; done; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing" "$2"; }

case $kind in cpu|cuda) ;; *) die "unknown kind '$kind'" "use: make setup, or make setup CUDA=1" ;; esac

whole() { [ -e "$lt/.done" ] && [ -e "$lt/lib/libtorch_cpu.so" ]; } # an installed torch may have been removed since

# What the generated files depend on; Go's build cache does not see headers outside a package, so this goes among its flags.
rev=$(cd "$root/scripts" && cat setup.sh mkstubs.sh torch_compat.h | sha256sum | cut -c1-12)
mark="// pema setup $kind $rev $lt"
if [ "$(sed -n 1p "$root/go.work" 2>/dev/null)" = "$mark" ] && whole && [ -e "$root/.libtorch/.done" ] &&
   [ -e "$cache/gotch-$gotch-$kind-$rev/.done" ] && [ -e "$root/models/torch/zz_libtorch_rev.h" ]; then exit 0; fi

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "$(uname -s) on $(uname -m) is not supported" "pema's libtorch is the Linux x86-64 one"
need go "install Go 1.26 or newer"
need g++ "install a C++17 compiler (Debian: apt-get install g++)"
need readelf "install binutils (Debian: apt-get install binutils)"
need flock "install util-linux"
mkdir -p "$cache" 2>/dev/null || die "cannot write the cache folder $cache" "set PEMA_CACHE to a folder that can be written"
exec 9>"$cache/.lock" || die "cannot write the cache folder $cache" "set PEMA_CACHE to a folder that can be written"
flock -n 9 || { say "another setup is running; waiting for it"; flock 9; }

tmp=$(mktemp -d "$cache/tmp.XXXXXX") || die "cannot write the cache folder $cache" "set PEMA_CACHE to a folder that can be written"
trap 'rm -rf "$tmp"' EXIT

enough() { # enough MiB WHAT
  local free; free=$(df -Pm "$cache" | awk 'NR==2{print $4}')
  [ "$free" -ge "$1" ] || die "$2 needs $1 MiB, $cache has $free MiB free" "free some space, or set PEMA_CACHE to a folder on another disk"
}
pip_ready() {
  need python3 "install Python 3 with pip (used once, to fetch wheels)"
  python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip" "Debian: apt-get install python3-pip"
}
python_torch() { python3 -c 'import importlib.metadata as m, importlib.util as u, os
print(m.version("torch").split("+")[0], os.path.dirname(u.find_spec("torch").origin))' 2>/dev/null; }

if ! whole; then
  rm -rf "$lt"; mkdir -p "$tmp/lt"
  if [ "$kind" = cpu ]; then
    pip_ready; enough 1700 "fetching libtorch"
    say "fetching libtorch $torch (530 MB, once for all clones)"
    quiet=-q; [ -t 2 ] && quiet=
    python3 -m pip download $quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 \
      --platform manylinux_2_28_x86_64 -d "$tmp" "torch==$torch" >&2 ||
      die "pip could not fetch torch==$torch" "is the network there? pip's own message is above; PIP_INDEX_URL names another index"
    whl=$(echo "$tmp"/torch-*.whl)
    echo "$wheel_sha256  $whl" | sha256sum -c --quiet >/dev/null 2>&1 || die "the torch wheel has another SHA-256 than expected" "run again; if it stays so, the index serves another file"
    python3 - "$whl" "$tmp" <<'P' || die "the torch wheel could not be unpacked"
import re, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
keep = re.compile(r'torch/include/|torch/lib/(libc10|libtorch_cpu|libgomp[^/]*)\.so')
for i in z.infolist():
    if keep.match(i.filename) and not i.is_dir(): z.extract(i, sys.argv[2])
P
    mv "$tmp/torch/include" "$tmp/torch/lib" "$tmp/lt/"; rm -f "$whl"
    bash "$root/scripts/mkstubs.sh" "$tmp/lt/lib" "$tmp/stubs"
    cp -a "$tmp"/stubs/*.so.* "$tmp/lt/lib/"
  else
    need python3 "install Python 3 with pip"
    read -r v dir < <(python_torch) || true
    if [ "${v:-}" != "$torch" ]; then
      pip_ready; enough 12000 "installing torch with its nvidia wheels"
      say "installing torch $torch with its nvidia wheels (about 5 GB, once for all clones)"
      python3 -m pip install -q --disable-pip-version-check --target "$tmp/lt/python" "torch==$torch" >&2 || die "pip could not install torch==$torch" "is the network there? pip's own message is above"
      ln -s python/torch/include "$tmp/lt/include"; ln -s python/torch/lib "$tmp/lt/lib"
    else
      say "using the installed torch $v in $dir"
      ln -s "$dir/include" "$tmp/lt/include"; ln -s "$dir/lib" "$tmp/lt/lib"
    fi
  fi
  echo "$torch $kind" > "$tmp/lt/.done"; mv "$tmp/lt" "$lt"
fi

# gotch, patched: flags for this libtorch without CUDA link flags, the header
# for three changed operators, no 100 kB dummy object per tensor, no leak per operator.
patched=$cache/gotch-$gotch-$kind-$rev
if [ ! -e "$patched/.done" ]; then
  say "patching gotch $gotch"
  (cd "$root" && GOWORK=off GOFLAGS=-mod=mod go mod download "github.com/sugarme/gotch@$gotch") || die "the Go module github.com/sugarme/gotch@$gotch could not be fetched" "is the network there? GOPROXY names another proxy"
  src=$(go env GOMODCACHE)/github.com/sugarme/gotch@$gotch
  mkdir -p "$tmp/gotch"
  cp -r "$src"/{go.mod,go.sum,LICENSE,*.go,libtch,ts,nn,half,pickle} "$tmp/gotch/"; chmod -R u+w "$tmp/gotch"
  cp "$root/scripts/torch_compat.h" "$tmp/gotch/libtch/"
  cat > "$tmp/gotch/libtch/lib.go" <<L
package libtch

// #cgo CFLAGS: -I\${SRCDIR} -O2 -w
// #cgo CXXFLAGS: -std=c++17 -O1 -g0 -w -D_GLIBCXX_USE_CXX11_ABI=1 -DTORCH_COMPAT_REV=0x$rev
// #cgo CXXFLAGS: -include \${SRCDIR}/torch_compat.h -I\${SRCDIR} -I$lt/include -I$lt/include/torch/csrc/api/include
// #cgo LDFLAGS: -L$lt/lib -Wl,-rpath,$lt/lib -ltorch_cpu -lc10 -lstdc++ -ldl
import "C"
L
  sed -i '/x\.d = new(bigStruct)/d' "$tmp/gotch/ts/tensor.go"
  sed -i -E 's/^(\s*)(ptr|ctensorPtr0) := \(\*lib\.Ctensor\)\(unsafe\.Pointer\(C\.malloc\(0\)\)\)/\1\2 := (*lib.Ctensor)(unsafe.Pointer(C.malloc(64))); defer C.free(unsafe.Pointer(\2))/' "$tmp/gotch/ts/tensor-generated.go"
  [ "$(grep -c 'C.malloc(64)' "$tmp/gotch/ts/tensor-generated.go")" -gt 2000 ] || die "gotch $gotch does not look as expected: the patch did not apply"
  touch "$tmp/gotch/.done"; rm -rf "$patched"; mv "$tmp/gotch" "$patched"
fi

ln -sfn "$lt" "$root/.libtorch"
printf '// generated by scripts/setup.sh: makes the Go build cache notice another libtorch\n// %s %s\n' "$kind" "$rev" > "$root/models/torch/zz_libtorch_rev.h"
{ echo "$mark"; grep '^go ' "$root/go.mod"; printf '\nuse .\n\nreplace github.com/sugarme/gotch %s => %s\n' "$gotch" "$patched"; } > "$root/go.work.tmp"
mv "$root/go.work.tmp" "$root/go.work"
say "ready: $lt"

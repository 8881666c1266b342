#!/usr/bin/env bash
# mkstubs.sh TORCH_LIB_DIR OUT_DIR: tiny stand-ins for the CUDA libraries (cudart, cupti) that the wheel's
# libtorch_cpu.so names, so that it loads without any nvidia wheel. Every function answers 100, "no device".
set -euo pipefail
lib=$1 out=$2
mkdir -p "$out"
for so in $(readelf -d "$lib/libtorch_cpu.so" | sed -n 's/.*NEEDED.*\[\(libcu[^]]*\)\].*/\1/p'); do
  src=$out/stub.c map=$out/stub.map
  nm -D --undefined-only "$lib/libtorch_cpu.so" | sed -n "s/.* U \(.*\)@\(@\)\?$so\$/\1/p" | sort -u | while read -r f; do
    case $f in *GetErrorString|*GetErrorName) echo "const char *$f(int e){return \"no CUDA on this machine (stub)\";}";;
      *) echo "int $f(void){return 100;}";; esac; done > "$src"
  echo "$so { global: *; };" > "$map"
  gcc -w -shared -fPIC -O1 -Wl,-soname,"$so" -Wl,--version-script="$map" -o "$out/$so" "$src"
  rm -f "$src" "$map"
done

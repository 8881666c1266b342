#!/usr/bin/env bash
# Times the training step of both sample models, here and in PyTorch + transformers on the same libtorch release, in turn, and
# prints the ratio of the medians. The Python side lives in a venv in the per-user cache (about 5 GB, made once).
#   bench/step/run.sh [ROUNDS]
set -euo pipefail
rounds=${1:-5}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}
venv=$cache/bench-venv
make -s -C "$root" setup sample
if [ ! -e "$venv/.done" ]; then
  rm -rf "$venv"; python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check torch==2.11.0 transformers==5.23.0 numpy
  touch "$venv/.done"
fi
bin=$(mktemp); trap 'rm -f "$bin"' EXIT
(cd "$root" && go build -o "$bin" ./bench/step)
printf '%-20s %10s %10s %8s\n' model 'pema s' 'torch s' ratio
for model in splade-tiny all-MiniLM-L6-v2; do
  ours='' theirs=''
  for _ in $(seq "$rounds"); do
    ours+="$("$bin" -batch 32 -length 128 "$cache/sample/$model") "
    theirs+="$("$venv/bin/python" "$root/bench/step/step.py" -batch 32 -length 128 "$cache/sample/$model" 2>/dev/null) "
  done
  python3 - "$model" "$ours" "$theirs" <<'P'
import statistics as s, sys
a, b = ([float(x) for x in v.split()] for v in sys.argv[2:])
print(f"{sys.argv[1]:20} {s.median(a):10.4f} {s.median(b):10.4f} {s.median(x / y for x, y in zip(a, b)):8.3f}")
P
done

#!/usr/bin/env bash
# Models that pema fine-tunes with PEMA go back to transformers: saved whole, and saved reduced and then restored, each loads with
# no missing and no unexpected keys, gives the same logits, and both are the same weights. Small random models of five families,
# and the sample's two with their published weights. The Python side lives in bench/step's virtual environment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}
python=$(bash "$root/bench/step/venv.sh")
make -s -C "$root" build sample
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 OMP_WAIT_POLICY=passive
(cd "$root" && go build -o "$work/interop" ./models/encoder/interop)
"$python" "$here/make.py" "$cache/sample/movie-reviews.tsv" "$work" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for save in full reduced; do
  "$root/bin/pema" run "$work/$save.yaml" --out "$work/out-$save" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
done
head -5 "$cache/sample/movie-reviews.tsv" | cut -f3 >"$work/texts"
for record in "$work"/out-reduced/runs/*.json; do
  model=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["model"])' "$record")
  original=$work/$model
  [ -d "$original" ] || original=$cache/sample/$model
  full=
  for other in "$work"/out-full/runs/*.json; do
    grep -q "\"model\": *\"$model\"" "$other" && full=${other%.json}/model
  done
  "$root/bin/pema" restore --reduced "${record%.json}/model" --original "$original" --out "$work/restored-$model" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  "$work/interop" "$work/restored-$model" <"$work/texts" >"$work/logits"
  "$python" "$here/check.py" "$work/restored-$model" "$work/texts" "$work/logits" "$full" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
done

#!/usr/bin/env bash
# Fine-tunes both sample models on GLUE tasks here and in PyTorch + transformers (the venv of bench/step/run.sh), on the same ids.
#   bench/finetune/run.sh losses  DATA            greatest difference of the first 20 losses: same head and order, no dropout
#   bench/finetune/run.sh twin    DATA [EPOCHS]   greatest difference of all losses and of the predictions: same head, order and dropout
#   bench/finetune/run.sh metrics DATA [EPOCHS]   metrics of three seeds on each side
# DATA is laid out as the hub; MODELS and TASKS choose among them, THREADS and PADDING say how.
set -euo pipefail
what=${1:?losses, twin or metrics} data=${2:?folder of the data} epochs=${3:-3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}
python=$cache/bench-venv/bin/python
threads=${THREADS:-2} padding=${PADDING:-max_length}
[ -e "$cache/bench-venv/.done" ] || { echo "run bench/step/run.sh 1 first: it makes the Python side" >&2; exit 1; }
make -s -C "$root" setup sample
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
(cd "$root" && go build -o "$tmp/finetune" ./bench/finetune)
for model in ${MODELS:-splade-tiny all-MiniLM-L6-v2}; do
  for task in ${TASKS:-mrpc rte cola stsb}; do
    ours() { "$tmp/finetune" -task "$task" -data "$data" -out "$tmp/r.json" -threads "$threads" -padding "$padding" "$@" "$cache/sample/$model"; }
    theirs() { "$python" "$root/bench/finetune/replay.py" -threads "$threads" -padding "$padding" "$@" "$cache/sample/$model" "$tmp/r.json" 2>/dev/null; }
    if [ "$what" = losses ]; then
      ours -steps 20 -epochs 1 -dropout=false
      echo "$model $task $(theirs -first 20 -epochs 1)"
      continue
    fi
    if [ "$what" = twin ]; then
      ours -epochs "$epochs"
      echo "$model $task $(theirs -twin -epochs "$epochs")"
      continue
    fi
    for seed in 1 2 3; do
      ours -seed "$seed" -epochs "$epochs"
      echo "$model $task seed $seed pema $(python3 -c 'import json,sys; print(json.dumps(json.load(open(sys.argv[1]))["metrics"]))' "$tmp/r.json") torch $(theirs -seed "$seed" -epochs "$epochs")"
    done
  done
done

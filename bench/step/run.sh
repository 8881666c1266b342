#!/usr/bin/env bash
# Times a training step of every family at base size, here and in PyTorch + transformers on the same libtorch release and threads,
# in turn, and writes the table results/measured/step.md. HUB is a folder with config.json files laid out as on the hub
# (ORG/NAME/config.json); weights are random, so nothing else is read. XLM-R needs 6 GB free.
#   bench/step/run.sh HUB [ROUNDS] [STEPS]
set -euo pipefail
hub=${1:?usage: bench/step/run.sh HUB [ROUNDS] [STEPS]} rounds=${2:-3} steps=${3:-4}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
make -s -C "$root" setup
python=$(bash "$root/bench/step/venv.sh")
export OMP_WAIT_POLICY=passive # threads that spin would count as work
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/step" ./bench/step)
while read -r model rows; do
  for _ in $(seq "$rounds"); do
    ours=$("$work/step" -batch 8 -length 128 -steps "$steps" -rows "$rows" "$hub/$model")
    theirs=$("$python" "$root/bench/step/step.py" -batch 8 -length 128 -steps "$steps" -rows "$rows" "$hub/$model" 2>/dev/null)
    echo "$model $rows $ours $theirs" | tee -a "$work/times" >&2
  done
done <<'M'
google-bert/bert-base-uncased 0
distilbert/distilbert-base-uncased 0
FacebookAI/roberta-base 0
microsoft/deberta-v3-small 0
FacebookAI/xlm-roberta-base 27925
FacebookAI/xlm-roberta-base 0
M
mkdir -p "$root/results/measured"
"$python" "$root/bench/step/table.py" "$work/times" "$steps" >"$work/step.md"
mv "$work/step.md" "$root/results/measured/step.md"
cat "$root/results/measured/step.md"

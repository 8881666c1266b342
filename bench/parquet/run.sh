#!/usr/bin/env bash
# Our Parquet reader beside pyarrow on the same files in the same minutes: bench/parquet/run.sh FOLDER
# FOLDER is laid out as a mirror (datasets/org/name/...). The Python side lives in a venv in the per-user cache.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(cd "$1" && pwd)
venv=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/parquet-venv
[ -e "$venv/.done" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 && touch "$venv/.done"; }
for _ in 1 2 3; do
	"$venv/bin/python" "$root/bench/parquet/parquet.py" "$folder/datasets"
	(cd "$root/datasets" && PEMA_SHARED=$(dirname "$folder") go test -run - -bench '^BenchmarkParquet$' -count 3 . | grep ^Benchmark)
done

#!/bin/sh
# Our Parquet reader beside pyarrow on the same files in the same minutes: bench/parquet.sh FOLDER
# FOLDER is laid out as a mirror (datasets/org/name/...). Needs a Python with pyarrow: $PYTHON, or python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$1" && pwd)
for round in 1 2; do
	"${PYTHON:-python3}" "$here/parquet.py" "$folder/datasets"
	(cd "$here/.." && PEMA_SHARED=$(dirname "$folder") go test -run - -bench '^BenchmarkParquet$' -count 3 . | grep ^Benchmark)
done

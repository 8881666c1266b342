#!/bin/sh
# What pema export writes, read by pyarrow, pandas, DuckDB and TensorBoard and held against the records themselves.
#   run.sh            the tests' records
#   run.sh FOLDER     the records of an output folder, after pema export
# Makes a virtual environment in the user's cache folder (or in $PEMA_EXPORT_VENV); the rest is temporary.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEMA_EXPORT_VENV:-${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/export-venv}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import duckdb, pandas, pyarrow, tensorboard' 2>/dev/null; then
	echo "making $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check duckdb pandas pyarrow tensorboard
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
folder=${1:-$work/out}
[ $# -ge 1 ] || (cd "$here/.." && CGO_ENABLED=0 GOWORK=off go test -count=1 -run '^TestExport$' . -args -export "$folder" >"$work/log" 2>&1) || { cat "$work/log" >&2; exit 1; }
"$venv/bin/python" "$here/check.py" "$folder"

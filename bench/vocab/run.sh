#!/usr/bin/env bash
# Counting a vocabulary, from Parquet to used ids: pema beside Hugging Face's libraries, on the same files and cores in the same minutes.
#   bench/vocab/run.sh HUB [ROUNDS]      writes results/measured/vocab.md
# HUB is laid out as a mirror (models/org/name, datasets/org/name). The Python side lives in a venv in the per-user cache.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
hub=$(cd "$1" && pwd)
packages="datasets==5.2.0 transformers==5.23.0 tokenizers==0.23.3 pyarrow==26.0.1 numpy==2.4.6"
venv=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/vocab-venv
if [ "$(cat "$venv/packages" 2>/dev/null)" != "$packages" ]; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	# shellcheck disable=SC2086
	"$venv/bin/pip" install -q --disable-pip-version-check $packages
	echo "$packages" >"$venv/packages"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make -s -C "$root" build
(cd "$root" && go build -o "$work/inside" ./bench/vocab)
"$venv/bin/python" "$root/bench/vocab/run.py" "$root/bin/pema" "$work" "$hub" "${2:-3}" "$root/results/measured/vocab.md"

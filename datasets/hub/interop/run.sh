#!/bin/sh
# Proves that we and Hugging Face's own tools work together, both ways: huggingface_hub and datasets fetch from our mirror;
# they use a cache that our client filled; our client uses, without network, a cache that they filled.
# Makes a virtual environment in the user's cache folder (or in $PEMA_INTEROP_VENV); the rest is temporary.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEMA_INTEROP_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/pema/interop-venv}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import huggingface_hub, datasets' 2>/dev/null; then
	echo "making $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q huggingface_hub datasets
fi
python=$venv/bin/python
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT INT TERM

(cd "$here" && go build -o "$work/interop" .)
"$python" "$here/make_folder.py" "$work/folder"
"$work/interop" serve "$work/folder" >"$work/address" &
server=$!
i=0
while [ ! -s "$work/address" ]; do
	i=$((i + 1))
	[ $i -lt 100 ] || { echo "the mirror does not start" >&2; exit 1; }
	sleep 0.1
done
address=$(cat "$work/address")
file=one/train-00000-of-00001.parquet
export HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 NO_PROXY=127.0.0.1 HF_TOKEN=

HF_ENDPOINT=$address HF_HOME=$work/theirs "$python" "$here/check.py" mirror "$work/folder"
HF_HOME=$work/ours "$work/interop" get "$address" pema-test/toy "$file" >/dev/null
HF_ENDPOINT=$address HF_HOME=$work/ours HF_HUB_OFFLINE=1 "$python" "$here/check.py" cache "$work/folder"
path=$(HF_HOME=$work/theirs HF_HUB_OFFLINE=1 "$work/interop" get "$address" pema-test/toy "$file")
cmp "$path" "$work/folder/datasets/pema-test/toy/$file"
case $path in "$work/theirs"/*) ;; *) echo "$path is not in their cache" >&2; exit 1 ;; esac
echo "their cache ok"

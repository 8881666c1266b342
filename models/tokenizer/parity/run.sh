#!/bin/sh
# Compares models/tokenizer with Hugging Face's `tokenizers` on every GLUE and XNLI text of a folder laid out as the hub:
#
#   models/tokenizer/parity/run.sh HUB [--converted] [--hostile N] [--only NAME]
#
# Needs Go and Python 3 with pip. The virtual environment is kept in the user's cache. Exits 1 on a mismatch.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 HUB [--converted] [--hostile N] [--only NAME]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
packages="tokenizers==0.22.2 pyarrow==26.0.1"
kind=plain
case " $* " in *" --converted "*)
	packages="$packages transformers==4.57.6 sentencepiece==0.2.3 protobuf==7.36.2"
	kind=converted ;;
esac
venv=${XDG_CACHE_HOME:-$HOME/.cache}/pema/parity-$kind
if [ "$(cat "$venv/packages" 2>/dev/null)" != "$packages" ]; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	# shellcheck disable=SC2086
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check $packages
	echo "$packages" >"$venv/packages"
fi
program=$(mktemp)
trap 'rm -f "$program"' EXIT
(cd "$here" && go build -o "$program" .)
HF_HUB_OFFLINE=1 "$venv/bin/python" "$here/parity.py" "$program" "$@"

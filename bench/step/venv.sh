#!/usr/bin/env bash
# Makes the virtual environment with PyTorch of our libtorch's release and transformers in the per-user cache (about 5 GB, once), and
# prints its python.
set -euo pipefail
venv=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/bench-venv
if [ ! -e "$venv/.done" ]; then
  echo "making $venv" >&2
  rm -rf "$venv"; python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check torch==2.11.0 transformers==5.23.0 numpy >&2
  touch "$venv/.done"
fi
echo "$venv/bin/python"

#!/usr/bin/env bash
# Measures the peak memory of training steps, beside PyTorch's and beside the forecast, and writes results/measured/memory-parity.md.
#   bench/memory/run.sh CASES.json HUB [FLAGS]    PyTorch's figures, and a folder with ORG/MODEL/config.json
# All of it takes about half an hour on two cores and 19 GiB; -fits GiB leaves out what takes more, -keep FILE goes on where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh cpu
mkdir -p results/measured
OMP_WAIT_POLICY=passive go run ./bench/memory -cases "$1" -hub "$2" -out results/measured/memory-parity.md "${@:3}"

#!/bin/sh
# The manifests of pema submit --engine kubernetes against the published JSON schemas of Kubernetes' API, strictly (no key that
# the schema does not know); the package kubernetes-validate carries the schemas. No cluster is needed, none is run.
# Makes a virtual environment in the user's cache folder (or in $PEMA_KUBERNETES_VENV); the rest is temporary.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEMA_KUBERNETES_VENV:-${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/kubernetes-venv}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import kubernetes_validate' 2>/dev/null; then
	echo "making $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
(cd "$here/.." && CGO_ENABLED=0 GOWORK=off go test -count=1 -run '^TestManifest$' . -args -manifest "$work" >"$work/log" 2>&1) || { cat "$work/log" >&2; exit 1; }
"$venv/bin/python" "$here/check.py" "$work"/*.yaml

#!/bin/sh
# Opens report.html in a real browser and uses it as a reader does: Debian's chromium, driven by playwright-core.
#   run.sh [OUT]          the report of the tests' fixed records
#   run.sh OUT FOLDER     the report in an output folder
# OUT (default: a new temporary folder) receives the screenshots, to be looked at. Needs node, npm and chromium; where
# chromium is missing it is installed with apt-get.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${1:-$(mktemp -d)}
mkdir -p "$out"
out=$(cd "$out" && pwd)

if ! command -v chromium >/dev/null; then
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-liberation
fi
cp "$here/check.mjs" "$here/package.json" "$work"
(cd "$work" && npm install --silent --no-audit --no-fund)

if [ $# -ge 2 ]; then
	page=$(cd "$2" && pwd)
else
	page=$work/page
	(cd "$here/.." && go test -count=1 -run '^TestWritePage$' . -args -page "$page")
fi
CHROMIUM=$(command -v chromium) node "$work/check.mjs" "$page/report.html" "$out"
echo "screenshots are in $out"

#!/bin/sh
# Opens report.html in a real browser and uses it as a reader does: Debian's chromium, driven by playwright-core; and validates
# its HTML with html-validate.
#   run.sh [OUT]          reports of the records in results/measured/sample, of the tests' fixed records, and of hostile texts
#   run.sh OUT FOLDER     the report in an output folder
#   run.sh OUT many       a report of 5,000 records, to see how long it takes to become usable
# OUT (default: a new temporary folder) receives the screenshots, to be looked at. What is missing is installed: node, npm and
# chromium with apt-get, the npm packages of package.json into the per-user cache.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../install.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${1:-$(mktemp -d)}
mkdir -p "$out"
out=$(cd "$out" && pwd)

command -v chromium >/dev/null || install chromium fonts-liberation
command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
tools=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}/browser-$(sha256sum "$here/package.json" | cut -c1-16)
if [ ! -e "$tools/complete" ]; then
	mkdir -p "$tools"
	cp "$here/package.json" "$tools"
	(cd "$tools" && npm install --silent --no-audit --no-fund --no-package-lock && touch complete)
fi
cp "$here/check.mjs" "$tools"

pages() { (cd "$here/.." && go test -count=1 -run '^TestWritePage$' . -args "$@" >"$work/log") || { cat "$work/log" >&2 && exit 1; }; }
check() { # folder, name
	mkdir -p "$out/$2"
	(cd "$tools" && node node_modules/html-validate/bin/html-validate.mjs --config "$here/htmlvalidate.json" "$1/report.html")
	CHROMIUM=$(command -v chromium) node "$tools/check.mjs" "$1/report.html" "$out/$2"
}
case ${2:-} in
"")
	pages -page "$work/sample" -of "$here/../../results/measured/sample"
	check "$work/sample" sample
	pages -page "$work/fixed"
	check "$work/fixed" fixed
	pages -page "$work/hostile" -hostile
	check "$work/hostile" hostile
	;;
many)
	pages -page "$work/many" -many
	check "$work/many" many
	;;
*) check "$(cd "$2" && pwd)" "$(basename "$2")" ;;
esac
echo "screenshots are in $out"

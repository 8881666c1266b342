#!/bin/sh
# Compiles every LaTeX table of the tests' fixed records, and those of hostile texts, one of them longer than a page, with Debian's texlive.
#   run.sh [OUT]    OUT receives tables.pdf
# Where pdflatex or booktabs is missing they are installed with apt-get.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../install.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${1:-$(mktemp -d)}
mkdir -p "$out"

if ! command -v pdflatex >/dev/null || ! kpsewhich booktabs.sty >/dev/null; then
	install texlive-latex-base texlive-latex-recommended
fi
(cd "$here/.." && go test -count=1 -run '^TestWritePage$' . -args -page "$work/page" -hostile)
cat >"$work/tables.tex" <<'TEX'
\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,graphicx,longtable}
\begin{document}
TEX
n=0
for t in "$work"/page/tables/*.tex; do
	printf '\\input{%s}\n\\clearpage\n' "$t" >>"$work/tables.tex"
	n=$((n + 1))
done
printf '%s\n' '\end{document}' >>"$work/tables.tex"
cd "$work"
pdflatex -no-shell-escape -halt-on-error -interaction=nonstopmode tables.tex >log.txt || : # a longtable needs two passes
if ! pdflatex -no-shell-escape -halt-on-error -interaction=nonstopmode tables.tex >log.txt; then
	grep -A 6 '^!' log.txt >&2
	exit 1
fi
if grep -E 'Missing character|undefined' log.txt >&2; then
	exit 1
fi
cp tables.pdf "$out/"
echo "latex: ok ($n tables), $out/tables.pdf"

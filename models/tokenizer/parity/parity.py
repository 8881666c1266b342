#!/usr/bin/env python3
"""Compares the ids of models/tokenizer with those of Hugging Face's `tokenizers`.

    parity.py PROGRAM HUB [--hostile N] [--converted] [--only NAME]

PROGRAM is this folder's main.go, built; HUB is a folder laid out as the hub. Every text of every GLUE and XNLI parquet file in it is
encoded by both, alone and in its pair, whole and truncated to 128, and N hostile lines (20,000) beside them. With --converted the
tokenizers are those that transformers' converters make of the vocabulary files. Prints mismatches per tokenizer; exits 1 on any.
"""
import argparse, glob, hashlib, json, os, random, shutil, struct, subprocess, sys, tempfile, threading
from array import array

import pyarrow as pa, pyarrow.parquet as pq
from tokenizers import Tokenizer, __version__

FAMILIES = ["albert/albert-base-v2", "google-bert/bert-base-cased", "google-bert/bert-base-multilingual-cased", "google-bert/bert-base-uncased",
            "microsoft/deberta-v3-base", "openai-community/gpt2", "FacebookAI/roberta-base", "FacebookAI/xlm-roberta-base"]
CONVERTED = {
    "albert/albert-base-v2": ["spiece.model"],
    "google-bert/bert-base-cased": ["vocab.txt"],
    "google-bert/bert-base-multilingual-cased": ["vocab.txt"],
    "google-bert/bert-base-uncased": ["vocab.txt"],
    "microsoft/deberta-v3-base": ["spm.model"],
    "openai-community/gpt2": ["vocab.json", "merges.txt"],
    "FacebookAI/roberta-base": ["vocab.json", "merges.txt"],
    "FacebookAI/xlm-roberta-base": ["sentencepiece.bpe.model"],
    "microsoft/Multilingual-MiniLM-L12-H384": ["sentencepiece.bpe.model"],
}

# Lines with one of these may differ. There is none: U+0897, a mark newer than the Unicode of Go's segmentation, once was one.
KNOWN = set()


def texts(hub):
    """(file, text) and (file, pair) of all parquet files, each input once."""
    seen = set()
    for org in ("nyu-mll/glue", "facebook/xnli"):
        for path in sorted(glob.glob(f"{hub}/datasets/{org}/**/*.parquet", recursive=True)):
            table = pq.read_table(path)
            columns = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
            values = [table[c].to_pylist() for c in columns]
            rows = [(v,) for column in values for v in column]
            if len(values) > 1:
                rows += zip(values[0], values[1])
            for row in rows:
                if None not in row and row not in seen:
                    seen.add(row)
                    yield tuple(x.encode() for x in row)


RANGES = [(0x20, 0x7E)] * 5 + [(0xA0, 0x24F)] * 2 + [
    (0x0, 0x10FFFF), (0x0, 0xFFFF), (0x0, 0x2FFF), (0x300, 0x36F), (0x400, 0x5FF), (0x600, 0x8FF), (0x900, 0xDFF), (0xE00, 0x13FF),
    (0x1780, 0x18AF), (0x1D00, 0x2FFF), (0x3000, 0xD7FF), (0xF900, 0xFFFF), (0x10000, 0x1FFFF), (0x1F000, 0x1FAFF), (0xAC00, 0xD7A3), (0x1100, 0x11FF)]
SPECIAL = ["[CLS]", "[MASK]", "<s>", "<mask>", " <mask> ", "<|endoftext|>", "[UNK]", "</s>", "▁", "[PAD]", "<unk>", "``", "''"]
SPACES = [" ", " ", "  ", "\n\n", "   ", "\r\n", "\t", ". ", "'s ", "'ll", "\u00a0", "\u3000", "\u2028", "\x00", "(", "-"]


def hostile(n, seed=7):
    """Lines of random scripts, marks, white space, special tokens, long runs and bytes that are not UTF-8; pairs among them."""
    rnd = random.Random(seed)

    def line():
        out, pick = b"", rnd.sample(RANGES, rnd.randint(1, 3))
        for _ in range(rnd.randint(1, 7)):
            lo, hi = rnd.choice(pick)
            for _ in range(rnd.randint(1, 5)):
                c = rnd.randint(lo, hi)
                c = 0x61 if 0xD800 <= c < 0xE000 else c
                out += (chr(c) * rnd.choice([1, 1, 1, 1, 2, 5])).encode()
            r = rnd.random()
            if r < 0.45:
                out += rnd.choice(SPACES).encode()
            elif r < 0.5:
                out += rnd.choice(SPECIAL).encode()
            elif r < 0.52:
                out += rnd.randbytes(rnd.randint(1, 4))
        if rnd.random() < 0.01:
            out += rnd.choice([b"ab", b"a", b"x ", b"!", "é".encode(), "你".encode(), "́".encode(), "각".encode()]) * rnd.randint(100, 3000)
        return out

    for _ in range(n):
        yield (line(),) if rnd.random() < 0.8 else (line(), line())


def digest(e):
    return hashlib.sha256(array("I", e.ids).tobytes() + array("I", e.type_ids).tobytes()).digest()[:8]


def reference(t, inputs):
    """The answers that the program should give."""
    decoded = [tuple(x.decode(errors="replace") for x in i) for i in inputs]
    batch = [d[0] if len(d) == 1 else d for d in decoded]
    t.no_padding()
    t.no_truncation()
    whole = t.encode_batch(batch)
    long = [i for i, e in enumerate(whole) if len(e.ids) > 128]
    t.enable_truncation(128, stride=0, strategy="longest_first")
    short = dict(zip(long, t.encode_batch([batch[i] for i in long])))
    for i, e in enumerate(whole):
        whole_digest = digest(e)
        yield whole_digest + (digest(short[i]) if i in short else whole_digest)


def frame(i):
    out = b""
    for x in (i + (None,))[:2]:
        out += struct.pack("<I", 0) if x is None else struct.pack("<I", len(x) + 1) + x
    return out


def compare(program, folder, t, inputs):
    """The numbers of inputs and of truncated ones, and the mismatches."""
    p = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def feed():
        for i in inputs:
            p.stdin.write(frame(i))
        p.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    cut, bad, step = 0, [], 5000
    for at in range(0, len(inputs), step):
        part = inputs[at : at + step]
        for i, want in zip(part, reference(t, part)):
            cut += want[:8] != want[8:]
            if p.stdout.read(16) != want:
                bad.append(i)
    feeder.join()
    if p.wait() != 0:
        sys.exit(f"{program} {folder} failed")
    return cut, bad


def converted(folder, files):
    """A folder without tokenizer.json, and the tokenizer that transformers makes of it."""
    from transformers import AutoTokenizer

    d = tempfile.mkdtemp()
    for f in files + ["config.json", "tokenizer_config.json"]:
        shutil.copy(os.path.join(folder, f), d)
    return d, AutoTokenizer.from_pretrained(d).backend_tokenizer


def main():
    a = argparse.ArgumentParser()
    a.add_argument("program")
    a.add_argument("hub")
    a.add_argument("--hostile", type=int, default=20000)
    a.add_argument("--converted", action="store_true")
    a.add_argument("--only", default="")
    a = a.parse_args()
    real, lines = list(texts(a.hub)), list(hostile(a.hostile))
    print(f"tokenizers {__version__}; {len(real)} different texts and pairs, {len(lines)} hostile lines", flush=True)
    failed = False
    for name in CONVERTED if a.converted else FAMILIES:
        if a.only not in name:
            continue
        folder = f"{a.hub}/models/{name}"
        if a.converted:
            folder, t = converted(folder, CONVERTED[name])
        else:
            t = Tokenizer.from_file(folder + "/tokenizer.json")
        for what, inputs in (("real", real), ("hostile", lines)):
            cut, bad = compare(a.program, folder, t, inputs)
            known = [i for i in bad if KNOWN & {ord(c) for x in i for c in x.decode(errors="replace")}]
            print(f"{name:45s} {what:8s} {len(inputs):7d} inputs, {cut:6d} truncated, {len(bad) - len(known)} mismatches"
                  + (f", {len(known)} known" if known else ""), flush=True)
            for i in [i for i in bad if i not in known][:5]:
                print("   ", [x.decode(errors="replace") if len(x) < 300 else f"{len(x)} bytes" for x in i], [x.hex() for x in i if len(x) < 100])
            failed = failed or len(bad) > len(known) or what == "real" and bool(bad)
        if a.converted:
            shutil.rmtree(folder)
    sys.exit(failed)


main()

"""What `pema vocab` does, done with Hugging Face's libraries; run.py runs each of these in a process of its own, in turn with ours.

    peer.py official MODEL CACHE LENGTH SPLIT=FILE[,FILE]... [--no-padding]
        datasets.map with the fast tokenizer in batches of 1,000, padded as the official code does, then numpy.bincount
    peer.py fast     MODEL CACHE LENGTH SPLIT=FILE[,FILE]...
        encode_batch_fast of the library `tokenizers` alone, on strings that are in memory
"""
import array, hashlib, json, os, sys, time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
kind, model, cache, length = sys.argv[1:4] + [int(sys.argv[4])]
files = {k: v.split(",") for k, v in (a.split("=") for a in sys.argv[5:] if "=" in a)}


def columns(names):
    return [n for n in ("sentence", "text", "premise", "sentence1", "question", "hypothesis", "sentence2") if n in names]


def official():
    import datasets, numpy as np
    from transformers import AutoTokenizer

    datasets.disable_caching()
    datasets.disable_progress_bars()
    padding = "max_length" if "--no-padding" not in sys.argv else False
    begin, cpu = time.perf_counter(), time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = time.perf_counter()
    data = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)
    texts = columns(next(iter(data.values())).column_names)
    data = data.map(lambda b: tokenizer(*(b[c] for c in texts), padding=padding, max_length=length, truncation=True), batched=True, keep_in_memory=True, load_from_cache_file=False)
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for split in data.values():
        for batch in split.with_format("numpy", columns=["input_ids"]).iter(1000):
            ids = batch["input_ids"]
            counts += np.bincount(ids.reshape(-1) if padding else np.concatenate(ids), minlength=len(counts))
    if padding and tokenizer.pad_token_id is not None:
        counts[tokenizer.pad_token_id] = 0
    used = np.flatnonzero(counts)
    end = time.perf_counter()
    return {"load": loaded - begin, "whole": end - begin, "whole_cpu": time.process_time() - cpu, "tokens": int(counts.sum()), "used_sha256": hashlib.sha256(used.astype("<i4").tobytes()).hexdigest()}


def fast():
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    rows = []
    for f in (f for split in files.values() for f in split):
        table = pq.read_table(f)
        values = [table[c].to_pylist() for c in columns(table.column_names)]
        rows += values[0] if len(values) == 1 else zip(*values)
    begin = time.perf_counter()
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    loaded, cpu = time.perf_counter(), time.process_time()
    out = tokenizer.encode_batch_fast(rows)
    end, cpu = time.perf_counter(), time.process_time() - cpu
    used = sorted({i for e in out for i in e.ids})
    return {"load": loaded - begin, "whole": end - loaded, "whole_cpu": cpu, "tokens": sum(len(e.ids) for e in out), "used_sha256": hashlib.sha256(array.array("i", used).tobytes()).hexdigest()}


print(json.dumps({"official": official, "fast": fast}[kind]()))

"""Writes published.json: what pyarrow reads of every GLUE and XNLI file of a folder laid out as a mirror.

    python published.py FOLDER > published.json        (needs pyarrow)

For each file: rows, count of each label, and the SHA-256 of all rows in order, each as text NUL pair NUL label with six
decimals and a line feed. No text: its licences are not ours.
"""
import collections
import hashlib
import json
import pathlib
import sys

import pyarrow.parquet as pq

root = pathlib.Path(sys.argv[1]) / "datasets"
out = {}
for path in sorted(root.rglob("*.parquet")):
    table = pq.read_table(path)
    columns = [c for c in table.column_names if c not in ("label", "idx")]
    texts = [table[c].to_pylist() for c in columns] + [[""] * table.num_rows] * (2 - len(columns))
    rows = list(zip(*texts, table["label"].to_pylist()))
    digest = hashlib.sha256()
    for text, pair, label in rows:
        digest.update(f"{text}\0{pair}\0{label:.6f}\n".encode())
    labels = collections.Counter(f"{r[2]:.6f}" for r in rows)
    out[str(path.relative_to(root))] = {
        "rows": len(rows),
        "labels": dict(sorted(labels.items())) if len(labels) < 5 else {},
        "sha256": digest.hexdigest(),
    }
json.dump(out, sys.stdout, ensure_ascii=False, indent=1)

"""Writes a small folder laid out as a mirror: a dataset of two configurations and a model's files."""
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

root = pathlib.Path(sys.argv[1])
data = root / "datasets" / "pema-test" / "toy"
for config in ("one", "two"):
    for split, rows in (("train", 50), ("validation", 7)):
        path = data / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"text": [f"{config} {split} {i}" for i in range(rows)], "label": [i % 2 for i in range(rows)]})
        pq.write_table(table, path)
(data / "README.md").write_text(
    "---\nconfigs:\n"
    + "".join(
        f"- config_name: {c}\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: {c}/{s}-*\n" for s in ("train", "validation"))
        for c in ("one", "two")
    )
    + "---\n# toy\n"
)
model = root / "models" / "pema-test" / "model"
model.mkdir(parents=True)
(model / "config.json").write_text('{"model_type": "bert"}\n')
(model / "model.safetensors").write_bytes(bytes(range(256)) * 1000)

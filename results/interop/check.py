"""Reads an exported output folder with the field's tools and compares with runs/*.json."""
import glob, json, math, os, struct, sys

import duckdb, pandas, pyarrow.parquet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

out = sys.argv[1]
records = {}
for f in glob.glob(out + "/runs/*.json"):
    r = json.load(open(f))
    records[r["id"]] = r
assert records, "no records"


def num(v):
    return float(v) if isinstance(v, str) else v  # "NaN", "+Inf", "-Inf"


def same(a, b):
    a, b = num(a), num(b)
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def column(metric):
    return "metric_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in metric)


def check(rows, nan, who):
    assert {r["id"] for r in rows} == set(records) and len(rows) == len(records), who
    for row in rows:
        r = records[row["id"]]
        for k in ("state", "model", "dataset", "variant", "seed"):
            assert row[k] == r[k], (who, k, row[k], r[k])
        assert row["vocabulary_used"] == r["vocabulary"]["used"] and row["parameters_total"] == r["parameters"]["total"], who
        peak = r["memory"]["peak_allocated"] if r.get("memory") else None
        assert row["peak_allocated"] == peak or peak is None and pandas.isna(row["peak_allocated"]), (who, row["peak_allocated"], peak)
        losses = [num(x) for x in r.get("losses", [])]
        assert len(row["losses"]) == len(losses), who
        for a, b in zip(row["losses"], losses):
            assert same(a, b) if nan or math.isfinite(b) else a is None, (who, a, b)
        for m, v in r.get("metrics", {}).items():
            got, v = row[column(m)], num(v)
            assert same(got, v) if nan or math.isfinite(v) else got is None, (who, m, got, v)
    print(f"{who}: {len(rows)} rows are the records")


table = pyarrow.parquet.read_table(out + "/runs.parquet")
check(table.to_pylist(), True, "pyarrow")
frame = pandas.read_parquet(out + "/runs.parquet")
assert str(frame["started"].dtype).startswith("datetime64") and str(frame["seed"].dtype) == "int64", frame.dtypes
assert frame.groupby(["model", "variant"]).size().sum() == len(records)
print("pandas:", pandas.__version__, "types and groups")
lines = [json.loads(line) for line in open(out + "/runs.jsonl", encoding="utf-8")]
check(lines, False, "JSON Lines")
assert len(pandas.read_json(out + "/runs.jsonl", lines=True)) == len(records)
db = duckdb.connect()
for source in (f"read_parquet('{out}/runs.parquet')", f"read_json('{out}/runs.jsonl', format='newline_delimited')"):
    cursor = db.execute(f"select * from {source}")
    names = [d[0] for d in cursor.description]
    check([dict(zip(names, row)) for row in cursor.fetchall()], "parquet" in source, "DuckDB " + source[:12])
    assert db.execute(f"select count(*) from {source} where state = 'done'").fetchone()[0] == sum(r["state"] == "done" for r in records.values())

single = lambda v: struct.unpack("f", struct.pack("f", v))[0]
for id, r in records.items():
    events = EventAccumulator(f"{out}/runs/{id}", size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    losses = [num(v) for v in r.get("losses", [])]
    if losses:
        got = events.Scalars("train/loss")
        assert [e.step for e in got] == list(range(1, len(losses) + 1)), id
        assert all(same(e.value, single(v)) for e, v in zip(got, losses)), id
        assert len(events.Scalars("train/grad_norm")) == len(r.get("grad_norms", [])) if r.get("grad_norms") else True
    for m, v in r.get("metrics", {}).items():
        (e,) = events.Scalars("eval/" + m)
        assert e.step == len(losses) and same(e.value, single(num(v))), (id, m)
    assert ("memory/peak_allocated" in tags) == bool(r.get("memory")), tags
print(f"TensorBoard: {len(records)} runs, {len(tags)} curves in the last")

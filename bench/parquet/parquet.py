"""Reads every Parquet file below a folder as BenchmarkParquet does, with pyarrow: to Arrow tables, and on to Python rows."""
import pathlib
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

files = sorted(pathlib.Path(sys.argv[1]).rglob("*.parquet"))
columns = {f: [c for c in pq.read_schema(f).names if c != "idx"] for f in files}


def best(read, times=7):
    took = []
    for _ in range(times):
        start = time.perf_counter()
        rows = sum(read(f) for f in files)
        took.append(time.perf_counter() - start)
    return min(took), rows


def tables(threads):
    return lambda f: pq.read_table(f, columns=columns[f], use_threads=threads).num_rows


def rows(f):
    table = pq.read_table(f, columns=columns[f])
    return len(list(zip(*(c.to_pylist() for c in table.columns))))


for name, read in (("tables, all cores", tables(True)), ("tables, one core", tables(False)), ("Python rows", rows)):
    seconds, n = best(read)
    print(f"pyarrow {pa.__version__} {name}: {seconds * 1000:.0f} ms, {n} rows")

"""The table of run.sh: table.py TIMES STEPS. A line of TIMES: model, rows, then what main.go and step.py print."""
import datetime, os, statistics, sys, torch, transformers
rounds = {}
for line in open(sys.argv[1]):
    model, rows, *v = line.split()
    rounds.setdefault((model, int(rows)), []).append([float(x) for x in v])
cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
print(f"""# Training step against PyTorch and transformers

fp32, batch 8 x 128, AdamW (fused), clipping, dropout on, random weights, 2 threads of {os.cpu_count()} cores ({cpu}).
libtorch {torch.__version__.split('+')[0]} on both sides, transformers {transformers.__version__} (its default attention). {datetime.date.today()}, load
{os.getloadavg()[2]:.0f} over the last 15 minutes: on a busy machine CPU seconds say more than wall seconds.
Both sides in turn, a round being {sys.argv[2]} steps of each after two; a ratio is the median of the rounds' ratios, below 1 pema takes less.

    bench/step/run.sh HUB ROUNDS {sys.argv[2]}

| model | rows | rounds | wall s, pema | PyTorch | ratio | CPU s, pema | PyTorch | ratio | page faults, pema | PyTorch | peak MiB, pema |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |""")
for (model, rows), r in rounds.items():
    m = lambda f: statistics.median(map(f, r))
    print(f"| {model} | {rows or 'all'} | {len(r)} | {m(lambda v: v[0]):.2f} | {m(lambda v: v[4]):.2f} | {m(lambda v: v[0] / v[4]):.2f} "
          f"| {m(lambda v: v[1]):.2f} | {m(lambda v: v[5]):.2f} | {m(lambda v: v[1] / v[5]):.3f} | {m(lambda v: v[2]):,.0f} | {m(lambda v: v[6]):,.0f} "
          f"| {m(lambda v: v[3]) / 2**20:,.0f} |")

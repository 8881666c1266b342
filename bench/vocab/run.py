"""Runs pema and its peers in turn and writes the table of medians: called by run.sh."""
import datetime, json, os, pathlib, platform, resource, shutil, statistics, subprocess, sys, time

pema, work, hub, rounds, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]), pathlib.Path(sys.argv[5])
here = pathlib.Path(__file__).parent
MODELS = ["google-bert/bert-base-uncased", "FacebookAI/roberta-base", "FacebookAI/xlm-roberta-base"]
LANGUAGES = "ar bg de el en es fr hi ru sw th tr ur vi zh".split()
LENGTH = 128


def parquet(repo, config, split):
    return str(hub / "datasets" / repo / config / f"{split}-00000-of-00001.parquet")


DATASETS = {
    "glue/sst2": {s: [parquet("nyu-mll/glue", "sst2", s)] for s in ("train", "validation", "test")},
    "xnli/all": {s: [parquet("facebook/xnli", l, s) for l in LANGUAGES] for s in ("validation", "test")},
}


def busy():
    """CPU seconds that all processes of the machine have used."""
    user, nice, system = map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def timed(cores, args, env=None):
    """What a process prints (JSON), its wall time, and the CPU seconds that others used meanwhile."""
    before, own, begin = busy(), resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    p = subprocess.run(["taskset", "-c", cores, *map(str, args)], capture_output=True, text=True, env=os.environ | (env or {}))
    wall, now = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if p.returncode:
        sys.exit(f"{args}: exit {p.returncode}\n{p.stderr}")
    used = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    return json.loads(p.stdout.splitlines()[-1]) | {"wall": wall, "wall_cpu": used, "others": max(0, busy() - before - used)}


def fill():
    """pema's hub cache, filled with the data once: models are read from their folders. Nothing that was encoded is kept there."""
    server = subprocess.Popen([pema, "mirror", hub, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    endpoint = server.stdout.readline().strip().split("=", 1)[1]
    for dataset, splits in DATASETS.items():
        timed("0", [pema, "vocab", "--model", hub / "models" / MODELS[0], "--dataset", dataset, "--splits", ",".join(splits), "--json"],
              {"HF_ENDPOINT": endpoint, "HF_HOME": str(work / "hf"), "PEMA_CACHE": str(work / "empty")})
    server.terminate()
    server.wait()


def measure(model, dataset, cores):
    folder, splits = hub / "models" / model, DATASETS[dataset]
    files = [f"{s}={','.join(f)}" for s, f in splits.items()]
    peer = [sys.executable, here / "peer.py"]
    names = ",".join(splits)
    shutil.rmtree(work / "datasets", ignore_errors=True)
    return {
        "command": timed(cores, [pema, "vocab", "--model", folder, "--dataset", dataset, "--splits", names, "--max-length", LENGTH, "--json"],
                         {"HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "hf"), "PEMA_CACHE": str(work / "empty")}),
        "official": timed(cores, [*peer, "official", folder, work / "datasets", LENGTH, *files], {"HF_HOME": str(work / "python")}),
        "inside": timed(cores, [work / "inside", "-model", folder, "-hub", hub, "-dataset", dataset, "-splits", names, "-max-length", LENGTH]),
        "fast": timed(cores, [*peer, "fast", folder, "-", LENGTH, *files], {"HF_HOME": str(work / "python")}),
    }


def row(model, dataset, cores):
    runs = [measure(model, dataset, cores) for _ in range(rounds)]
    for r in runs:
        if len({x["used_sha256"] for x in r.values()}) != 1:
            sys.exit(f"{model} on {dataset}: different sets of ids are used: {r}")

    def median(kind, field):
        return statistics.median(r[kind][field] for r in runs)

    def ratio(a, b):
        return statistics.median(r[a[0]][a[1]] / r[b[0]][b[1]] for r in runs)

    def both(theirs, ours):
        """Their time over ours: by the clock, and in CPU seconds."""
        return f"**{ratio(theirs, ours):.1f}** / {ratio((theirs[0], theirs[1] + '_cpu'), (ours[0], ours[1] + '_cpu')):.1f}"

    command, inside, encode = ("command", "wall"), ("inside", "whole"), ("inside", "encode")
    whole, official, fast = ("official", "wall"), ("official", "whole"), ("fast", "whole")
    others = sum(x["others"] for r in runs for x in r.values()) / sum(x["wall"] for r in runs for x in r.values())
    return [model.split("/")[1], dataset, len(cores.split(",")),
            *(f"{median(*x):.2f}" for x in (command, whole)), both(whole, command),
            *(f"{median(*x):.3f}" for x in (inside, official)), both(official, inside),
            *(f"{median(*x):.3f}" for x in (encode, fast)), both(fast, encode), both(fast, inside), f"{others:.2f}"]


HEAD = ["tokenizer", "dataset", "cores", "`pema vocab` s", "official process s", "ratio", "pema inside s", "official inside s", "ratio",
        "pema ids s", "`encode_batch_fast` s", "ratio", "its ratio to pema inside", "others' cores"]


def write():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    versions = (pathlib.Path(sys.executable).parent.parent / "packages").read_text().strip()
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()[2]
    text = f"""# Counting a vocabulary, beside Hugging Face's libraries

`bench/vocab/run.sh HUB {rounds}` on {datetime.date.today()}, {cpu}, {len(available)} cores, {go}; {versions}.
Medians of {rounds} rounds; in each round ours and theirs run in turn on the same cores (`taskset`). Ratios are theirs over ours, medians of the ratios of a round: **by the clock** / in CPU
seconds, which other work on the machine disturbs less. In every round all four end with the same set of used ids (SHA-256). All splits of SST-2 (70,042 sentences), and validation and
test of XNLI's 15 languages (112,500 pairs), cut to {LENGTH} tokens. Files are warm in the page cache; nothing that was encoded before is used by anyone.

- **`pema vocab`, official process**: the whole process, start included. The official way is `datasets.load_dataset` (its cache empty), `map` with the fast tokenizer in batches of 1,000
  (padded to {LENGTH}, results in memory, as the official code does), then `numpy.bincount`.
- **inside**: the same without the start: from loading the tokenizer to the used ids.
- **ids**: texts in memory to ids, nothing else, beside `encode_batch_fast` of the library `tokenizers`, which computes no offsets: the fair peer.
- **its ratio to pema inside**: `encode_batch_fast` alone against all that pema does, loading and Parquet included.
- **others' cores**: CPU seconds a second that other processes of the machine used meanwhile; 0 is a quiet machine.

| {" | ".join(HEAD)} |
|{" --- |" * 2}{" ---: |" * (len(HEAD) - 2)}
"""
    text += "".join("| " + " | ".join(map(str, r)) + " |\n" for r in table)
    out.parent.mkdir(parents=True, exist_ok=True)
    temp = out.with_suffix(".tmp")
    temp.write_text(text)
    os.replace(temp, out)


fill()
available = sorted(os.sched_getaffinity(0))
table = []
for dataset in DATASETS:
    for cores in [",".join(map(str, available[:n])) for n in (1, 2) if n <= len(available)]:
        for model in MODELS:
            table.append(row(model, dataset, cores))
            print(*table[-1], sep="  ", flush=True)
            write()  # what is measured stays, should the rest be cut off

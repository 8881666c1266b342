"""Fine-tunes in PyTorch and transformers what main.go did, from its report: the same ids and, with -first, the same head, order and no
dropout, so that losses can be held against each other; with -twin the same head, order and seed of dropout over the whole training, so
that losses and predictions can; else with its own draws of a seed, so that metrics can."""
import argparse, json, math
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, logging
logging.set_verbosity_error()
a = argparse.ArgumentParser()
a.add_argument("dir"); a.add_argument("report")
a.add_argument("-first", type=int, default=0)
a.add_argument("-twin", action="store_true")
a.add_argument("-seed", type=int, default=1)
a.add_argument("-epochs", type=int, default=3)
a.add_argument("-threads", type=int, default=2)
a.add_argument("-length", type=int, default=128)
a.add_argument("-padding", default="max_length")
a = a.parse_args()
r = json.load(open(a.report))
torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)
cfg = AutoConfig.from_pretrained(a.dir, num_labels=r["labels"])
if a.first:
    cfg.hidden_dropout_prob = cfg.attention_probs_dropout_prob = 0.0
m = AutoModelForSequenceClassification.from_pretrained(a.dir, config=cfg, dtype=torch.float32).train()
if a.first or a.twin:
    with torch.no_grad():
        for name, v in r["fresh"].items():
            p = m.get_parameter(name)
            p.copy_(torch.tensor(v).view_as(p))
if a.twin:
    torch.manual_seed(a.seed * 1000 + 3)  # main.go's

def batch(xs):
    n = max(len(x["ids"]) for x in xs) if a.padding == "longest" else a.length
    ids, types, mask = (torch.full((len(xs), n), v) for v in (cfg.pad_token_id, 0, 0))
    for i, x in enumerate(xs):
        k = len(x["ids"])
        ids[i, :k] = torch.tensor(x["ids"]); types[i, x["second"]:k] = 1; mask[i, :k] = 1
    y = torch.tensor([x["label"] for x in xs])
    return dict(input_ids=ids, token_type_ids=types, attention_mask=mask, labels=y if r["labels"] == 1 else y.long())

train, size = r["train"], 32
total = math.ceil(len(train) / size) * a.epochs
opt = torch.optim.AdamW(m.parameters(), lr=2e-5, weight_decay=0.0)
schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: max(0.0, (total - k) / max(1, total)))
if a.first:
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: max(0.0, (a.first - k) / max(1, a.first)))
losses, rng = [], np.random.default_rng(a.seed)
for epoch in range(a.epochs):
    order = r["orders"][epoch] if a.first or a.twin else rng.permutation(len(train))
    for at in range(0, len(train), size):
        if a.first and len(losses) == a.first: break
        loss = m(**batch([train[i] for i in order[at:at + size]])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step(); schedule.step(); opt.zero_grad()
        losses.append(loss.item())
if a.first:
    assert all(map(math.isfinite, losses)), losses  # max would pass over a NaN
    print("%.2e" % max(abs(x - y) for x, y in zip(losses, r["losses"], strict=True)))
    raise SystemExit
m.eval()
out, labels = [], np.array([x["label"] for x in r["validation"]])
with torch.no_grad():
    for at in range(0, len(labels), size):
        out.append(m(**batch(r["validation"][at:at + size])).logits)
out = torch.cat(out)
p = (out[:, 0] if r["labels"] == 1 else out.argmax(1)).numpy().astype(float)
if a.twin:
    assert all(map(math.isfinite, losses)), losses
    print("losses %.2e predictions %.2e" % (max(abs(x - y) for x, y in zip(losses, r["losses"], strict=True)), np.abs(p - r["predictions"]).max()))
    raise SystemExit

def ranks(v):
    u, inverse, n = np.unique(v, return_inverse=True, return_counts=True)
    return (np.cumsum(n) - (n - 1) / 2)[inverse]

with np.errstate(all="ignore"):
    print(json.dumps({k: float(f) for k, f in {
        "accuracy": np.mean(p == labels), "f1": 2 * np.sum((p == 1) & (labels == 1)) / (np.sum(p == 1) + np.sum(labels == 1)),
        "matthews_correlation": np.corrcoef(p, labels)[0, 1], "pearson": np.corrcoef(p, labels)[0, 1],
        "spearmanr": np.corrcoef(ranks(p), ranks(labels))[0, 1]}.items() if k in r["metrics"]}))

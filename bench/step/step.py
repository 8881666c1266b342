"""The training step of a model with random weights from a folder's config in PyTorch and transformers: the peer of main.go. Prints,
of a step, the median in seconds, and the mean CPU seconds and page faults."""
import argparse, resource, statistics, time
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, logging
logging.set_verbosity_error()
a = argparse.ArgumentParser()
a.add_argument("dir")
for k, v in dict(batch=32, length=128, steps=12, threads=2, rows=0).items():
    a.add_argument("-" + k, type=int, default=v)
a.add_argument("-optimizer", default="adamw-fused")
a = a.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(1)
c = AutoConfig.from_pretrained(a.dir, num_labels=2)
if a.rows:
    c.vocab_size = a.rows
m = AutoModelForSequenceClassification.from_config(c).float().train()
form = {"adamw-loop": dict(foreach=False), "adamw-foreach": dict(foreach=True), "adamw-fused": dict(fused=True)}[a.optimizer]
opt = torch.optim.AdamW(m.parameters(), lr=2e-5, weight_decay=0.0, **form)
ids = torch.randint(1000, c.vocab_size, (a.batch, a.length))
mask, labels = torch.ones_like(ids), torch.randint(2, (a.batch,))
types = dict(token_type_ids=torch.zeros_like(ids)) if getattr(c, "type_vocab_size", 0) > 1 else {}
t = []
for i in range(a.steps + 2):
    if i == 2:
        first = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    loss = m(input_ids=ids, attention_mask=mask, labels=labels, **types).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    loss.item()
    t.append(time.perf_counter() - begin)
last = resource.getrusage(resource.RUSAGE_SELF)
cpu = last.ru_utime + last.ru_stime - first.ru_utime - first.ru_stime
print(f"{statistics.median(t[2:]):.6f} {cpu / a.steps:.6f} {(last.ru_minflt - first.ru_minflt) / a.steps:.0f}")

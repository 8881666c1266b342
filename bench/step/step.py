"""The median training step of a model folder in PyTorch and transformers, in seconds: the peer of main.go."""
import argparse, statistics, time
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, logging
logging.set_verbosity_error()
a = argparse.ArgumentParser()
a.add_argument("dir")
for k, v in dict(batch=32, length=128, steps=12, threads=2).items():
    a.add_argument("-" + k, type=int, default=v)
a.add_argument("-optimizer", default="adamw-fused")
a = a.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(1)
m = AutoModelForSequenceClassification.from_pretrained(a.dir, num_labels=2, dtype=torch.float32).train()
form = {"adamw-loop": dict(foreach=False), "adamw-foreach": dict(foreach=True), "adamw-fused": dict(fused=True)}[a.optimizer]
opt = torch.optim.AdamW(m.parameters(), lr=2e-5, weight_decay=0.0, **form)
ids = torch.randint(1000, m.config.vocab_size, (a.batch, a.length))
mask, labels = torch.ones_like(ids), torch.randint(2, (a.batch,))
t = []
for _ in range(a.steps + 2):
    begin = time.perf_counter()
    loss = m(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids), labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    loss.item()
    t.append(time.perf_counter() - begin)
print(f"{statistics.median(t[2:]):.6f}")

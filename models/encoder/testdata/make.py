"""Makes the vectors in this folder with transformers: python make.py (torch 2.11.0, transformers 5.23.0, safetensors).

Per folder: config.json and model.safetensors of a small random model, and expected.safetensors: a batch, logits, loss and gradients
without dropout, three AdamW steps (clipped to 1, rate 1e-3), the batch renumbered as PEMA does it, and two losses with dropout from seed 7.
"""
import copy, json, pathlib, torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSequenceClassification

here = pathlib.Path(__file__).parent
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
common = dict(vocab_size=150, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=40,
              initializer_range=0.2)
distil = dict(vocab_size=150, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=40, initializer_range=0.2, pad_token_id=0)
v3 = dict(common, relative_attention=True, position_buckets=8, max_relative_positions=-1, norm_rel_ebd="layer_norm", share_att_key=True,
          pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0, pad_token_id=0)
v2 = dict(common, relative_attention=True, max_relative_positions=10, share_att_key=False, pos_att_type="c2p|p2c", position_biased_input=True,
          type_vocab_size=2, pad_token_id=0, embedding_size=24, pooler_dropout=0.2, pooler_hidden_act="tanh", cls_dropout=0.3)
# name: model type, config, labels (1: regression), id that pads the batch
folders = {
    "bert": ("bert", dict(common, type_vocab_size=2, pad_token_id=0), 3, 0),
    "bert-other-padding": ("bert", dict(common, type_vocab_size=2, pad_token_id=0, hidden_act="relu"), 1, 1),  # as Multilingual-MiniLM
    "distilbert": ("distilbert", distil, 3, 0),
    "roberta": ("roberta", dict(common, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5), 3, 1),
    "xlm-roberta": ("xlm-roberta", dict(common, type_vocab_size=1, pad_token_id=5, layer_norm_eps=1e-5, classifier_dropout=0.3), 1, 5),
    "deberta-v3": ("deberta-v2", v3, 3, 0),
    "deberta-v2": ("deberta-v2", v2, 1, 0),
}
for seed, (name, (kind, config, labels, pad)) in enumerate(folders.items()):
    torch.manual_seed(100 + seed)
    c = AutoConfig.for_model(kind, num_labels=labels, **config)
    model = AutoModelForSequenceClassification.from_config(c).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)
    out = here / name
    model.save_pretrained(out)
    saved = json.loads((out / "config.json").read_text())
    saved.pop("transformers_version", None)
    (out / "config.json").write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")

    length = [24, 15, 7]
    ids = torch.randint(8, 150, (3, 24))
    ids[:, 0] = 0 if pad == 1 else 2
    if kind in ("roberta", "xlm-roberta"):
        ids[0, 5] = ids[1, 3] = pad  # a text may hold the padding token itself
    mask = torch.zeros_like(ids)
    for i, n in enumerate(length):
        mask[i, :n], ids[i, n:] = 1, pad
    x = dict(input_ids=ids, attention_mask=mask)
    if getattr(c, "type_vocab_size", 0) > 1:
        x["token_type_ids"] = (torch.arange(24)[None, :] >= torch.tensor(length)[:, None] // 2).long() * mask
    x["labels"] = torch.tensor([0.5, -1.0, 2.0]) if labels == 1 else torch.tensor([1, 0, 2])
    e = {k: v.clone() for k, v in x.items()}

    r = model(**x)
    r.loss.backward()
    e["logits"], e["loss"] = r.logits.detach().clone().reshape(3, labels), r.loss.detach().reshape(1)
    for n, p in model.named_parameters():
        if any(k in n for k in ("word_embeddings", "layer.0.attention.self.query", "layer.0.attention.q_lin.weight", "position_embeddings",
                                "rel_embeddings", "embeddings.LayerNorm.weight", "embed_proj", "token_type", "pos_key")):
            e["grad." + n] = p.grad.clone()
    used = torch.unique(ids)
    e["pema.selected_ids"], e["pema.input_ids"] = used, torch.searchsorted(used, ids)

    trained = copy.deepcopy(model)
    opt, steps = torch.optim.AdamW(trained.parameters(), lr=1e-3, weight_decay=0.0), []
    for _ in range(3):
        opt.zero_grad()
        loss = trained(**x).loss
        loss.backward()
        steps += [loss.item(), torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0).item()]
        opt.step()
    e["adamw.loss_and_gradnorm_3_steps"] = torch.tensor(steps)
    e["adamw.logits_after_3_steps"] = trained(**x).logits.detach().reshape(3, labels).clone()

    model.train()
    torch.manual_seed(7)
    e["dropout.losses"] = torch.tensor([model(**x).loss.item() for _ in range(2)])
    save_file({k: v.contiguous() for k, v in e.items()}, out / "expected.safetensors")

# The same matrix in the forms that weights come in.
out = here / "matrix"
torch.manual_seed(1)
w = torch.randn(40, 6).to(torch.bfloat16).to(torch.float16)
name = "bert.embeddings.word_embeddings.weight"
for form, dtype in {"bfloat16-shards": torch.bfloat16, "float16-bin": torch.float16, "float32": torch.float32}.items():
    (out / form).mkdir(parents=True, exist_ok=True)
    if form.endswith("bin"):
        torch.save({name: w.to(dtype), "bert.other": w}, out / form / "pytorch_model.bin")
    elif form.endswith("shards"):
        shards = {"model-00001-of-00002.safetensors": {"bert.other": w}, "model-00002-of-00002.safetensors": {name: w.to(dtype)}}
        for file, tensors in shards.items():
            save_file(tensors, out / form / file)
        index = {"metadata": {}, "weight_map": {t: file for file, tensors in shards.items() for t in tensors}}
        (out / form / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        save_file({name: w.to(dtype)}, out / form / "model.safetensors")

# DeBERTa's rows for distances -n..n: buckets, longest distance.
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
tables = [{"buckets": b, "longest": n, "rows": make_log_bucket_position(torch.arange(-n - 9, n + 10), b, n).long().tolist()}
          for b, n in ((256, 512), (32, 512), (8, 40), (64, 256))]
(here / "buckets.json").write_text(json.dumps(tables) + "\n")

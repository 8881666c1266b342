"""Makes what run.sh trains on: make.py REVIEWS OUT. Small random models of five families as transformers saves them, with a WordPiece
tokenizer over the reviews' words; some reviews as data.csv; two specs over these models and the sample's."""
import collections, csv, json, pathlib, re, sys, torch
from transformers import AutoConfig, AutoModel

reviews, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
rows = [line.split("\t") for line in reviews.read_text(encoding="utf-8").splitlines()][:3000:50]
with open(out / "data.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["text", "label"])
    for _, score, text in rows:
        w.writerow([text, int(float(score) > 0)])
words = collections.Counter(w for r in rows for w in re.findall(r"[a-z]+", r[2].lower()))
common = dict(vocab_size=600, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)
families = {
    "bert": dict(common, type_vocab_size=2, pad_token_id=0),
    "roberta": dict(common, type_vocab_size=1, pad_token_id=1),
    "distilbert": dict(vocab_size=600, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64, pad_token_id=0),
    "deberta-v2": dict(common, relative_attention=True, position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True,
                       pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0, pad_token_id=0),
    "xlm-roberta": dict(common, type_vocab_size=1, pad_token_id=1),
}
for i, (kind, config) in enumerate(families.items()):
    torch.manual_seed(i)
    AutoModel.from_config(AutoConfig.for_model(kind, initializer_range=0.2, **config)).save_pretrained(out / kind)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if config["pad_token_id"] == 1:
        specials[:2] = ["[UNK]", "[PAD]"]
    vocab = {w: n for n, w in enumerate((specials + sorted(set("abcdefghijklmnopqrstuvwxyz")) + [w for w, _ in words.most_common(700) if len(w) > 1])[:590])}
    part = lambda k, i: {k: {"id": i, "type_id": 0}}
    cls, sep = part("SpecialToken", "[CLS]"), part("SpecialToken", "[SEP]")
    (out / kind / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(id=vocab[s], content=s, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for s in specials],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": [cls, part("Sequence", "A"), sep],
                           "pair": [cls, part("Sequence", "A"), sep, part("Sequence", "B"), sep],
                           "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}}))
    (out / kind / "tokenizer_config.json").write_text(json.dumps({t.lower().strip("[]") + "_token": t for t in specials}))
local = "".join(f"    {k}: {k}\n" for k in families) + "".join(f"    {k}: cache:sample/{k}\n" for k in ("splade-tiny", "all-MiniLM-L6-v2"))
for save in ("full", "reduced"):
    (out / f"{save}.yaml").write_text(f"""name: {save}
measure: accuracy
models: [{", ".join(families)}, splade-tiny, all-MiniLM-L6-v2]
datasets: [reviews]
variants: [pema]
seeds: [1]
weights: pretrained
save: {save}
training: {{batch_size: 8, eval_batch_size: 8, max_length: 48, padding: max_length, optimizer: adamw-fused, learning_rate: 1e-3, max_steps: 4}}
local:
  models:
{local}  datasets:
    reviews: {{file: data.csv, text: text, label: label, validation: 0.1}}
""")

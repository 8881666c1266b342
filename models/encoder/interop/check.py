"""check.py DIR TEXTS LOGITS [SAME]: the model in DIR loads in transformers with no missing and no unexpected keys, and gives the texts the
logits in LOGITS within 1e-5 of the largest; the weights in the folder SAME are equal."""
import json, pathlib, sys, torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, logging
logging.set_verbosity_error()

where, texts, logits = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
model, info = AutoModelForSequenceClassification.from_pretrained(where, output_loading_info=True)
wrong = {k: v for k, v in info.items() if v}
assert not wrong, f"{where}: {wrong}"
model.eval()
tok = Tokenizer.from_file(str(where / "tokenizer.json"))
tok.no_padding()
tok.enable_truncation(48)
worst = largest = 0
with torch.no_grad():
    for text, want in zip(open(texts).read().splitlines(), map(json.loads, open(logits)), strict=True):
        e = tok.encode(text)
        got = model(input_ids=torch.tensor([e.ids]), attention_mask=torch.ones(1, len(e.ids), dtype=torch.long)).logits[0]
        worst = max(worst, (got - torch.tensor(want)).abs().max().item())
        largest = max(largest, got.abs().max().item())
assert worst <= 1e-5 * max(1, largest), f"{where}: logits differ by {worst}"
if len(sys.argv) > 4:
    a, b = (load_file(pathlib.Path(d) / "model.safetensors") for d in (where, sys.argv[4]))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), f"{where} and {sys.argv[4]} differ"
print(f"{model.config.model_type}, {model.get_input_embeddings().num_embeddings} rows: loads whole; logits differ by {worst:.1e} of {largest:.2f}")

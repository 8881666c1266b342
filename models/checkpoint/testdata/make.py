"""Makes the fixtures beside it. Made with torch 2.11.0, safetensors 0.8.0, transformers 5.24.0:
    pip install torch safetensors transformers numpy && python make.py
models.json is kept by hand: configurations with the published parameter totals. README.md, trainer_state.json and *_results.json are
what the package writes; huggingface_hub 2.4.0 (ModelCard) and transformers (TrainerState.load_from_json) read the first two."""
import collections, json, os, pickle, random, zipfile

import torch, transformers
from safetensors.torch import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))


# Every element type, names that need escapes, an empty tensor and a scalar, as the reference library lays them out.
def ramp(dtype, *shape):
    n = 1
    for d in shape:
        n *= d
    return (torch.arange(n) % 2 if dtype == torch.bool else torch.arange(n) - (0 if dtype == torch.uint8 else 2)).to(dtype).reshape(shape)


dtypes = dict(f64=torch.float64, f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16, i64=torch.int64, i32=torch.int32,
              i16=torch.int16, i8=torch.int8, u8=torch.uint8, bool=torch.bool)
tensors = {f"{k}.weight": ramp(d, 3, 2) for k, d in dtypes.items()}
tensors |= {'quote " <é> \\ &': ramp(torch.float32, 5), "empty": ramp(torch.float32, 0, 4), "scalar": torch.tensor(7.0), "odd": ramp(torch.int8, 3)}
save_file(tensors, "reference.safetensors", metadata={"format": "pt"})

# torch.save: a state dict with what real ones have: an OrderedDict with _metadata, tied weights, parameters, views of a storage.
state = collections.OrderedDict((k, v) for k, v in tensors.items())
base = ramp(torch.float32, 4, 6)
state["embeddings.weight"] = base
state["tied.weight"] = base
state["rows"] = base[1:3]
state["parameter"] = torch.nn.Parameter(ramp(torch.float32, 2, 3))
state["column of one"] = torch.as_strided(ramp(torch.float32, 6), (3, 1), (1, 5))  # contiguous, whatever the stride of a 1
state._metadata = collections.OrderedDict([("", {"version": 1}), ("embeddings", {"version": 1})])
torch.save(state, "zip.bin")
torch.save(state, "legacy.bin", _use_new_zipfile_serialization=False)
torch.save({"transposed": base.t()}, "strided.bin")
torch.save({"x": torch.nn.Linear(2, 2)}, "module.bin")

# What the state dict holds, for a reader to be held against.
save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, "state.safetensors", metadata={"format": "pt"})


# Pickles that must be refused, inside an otherwise sound file.
class Run:
    def __reduce__(self):
        return os.system, ("echo unsafe",)


def hostile(name, data):
    with zipfile.ZipFile(name, "w") as z:
        z.writestr("archive/data.pkl", data)
        z.writestr("archive/version", "3\n")


hostile("system.bin", pickle.dumps({"x": Run()}, protocol=2))

# Parameter counts of small random models of every family.
random.seed(1)
rows = []


def add(cls, config):
    with torch.device("meta"):
        model = getattr(transformers, cls)(config)
    rows.append(dict(cls=cls, labels=config.num_labels, embedding=model.get_input_embeddings().weight.numel(),
                     total=sum(p.numel() for p in model.parameters()), config=json.loads(config.to_json_string(use_diff=False))))


for _ in range(6):
    d, pick = random.choice([32, 64]), random.choice
    shared = dict(vocab_size=random.randint(50, 99), hidden_size=d, num_hidden_layers=random.randint(1, 3), num_attention_heads=4,
                  intermediate_size=pick([48, 100]), max_position_embeddings=random.randint(20, 40), type_vocab_size=random.randint(1, 3),
                  num_labels=random.randint(1, 4))
    for family in ["Bert", "Roberta", "XLMRoberta", "XLMRobertaXL"]:
        add(family + "ForSequenceClassification", getattr(transformers, family + "Config")(**shared))
    shared["type_vocab_size"] = random.randint(0, 2)
    add("DebertaV2ForSequenceClassification", transformers.DebertaV2Config(
        **shared, relative_attention=random.random() < .7, max_relative_positions=pick([-1, 0, 9]), position_buckets=pick([-1, 8]),
        norm_rel_ebd=pick(["none", "layer_norm"]), share_att_key=random.random() < .5, pos_att_type=pick(["p2c|c2p", ["c2p"], ["p2c"], None]),
        position_biased_input=random.random() < .5, embedding_size=pick([d, 16]), conv_kernel_size=pick([0, 3]), conv_act="tanh"))
    add("DistilBertForSequenceClassification", transformers.DistilBertConfig(
        vocab_size=77, dim=d, n_layers=random.randint(1, 3), n_heads=4, hidden_dim=pick([48, 100]), max_position_embeddings=33, num_labels=3))
    add("GPT2ForSequenceClassification", transformers.GPT2Config(
        vocab_size=77, n_embd=d, n_layer=2, n_head=4, n_positions=33, n_inner=pick([None, 100]), num_labels=2, bos_token_id=1, eos_token_id=1))
with open("counts.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")

#!/usr/bin/env python3
"""Makes the tiny tokenizers beside this script, and expected.json: what Hugging Face makes of some hard texts with them.

    python3 -m venv VENV
    VENV/bin/pip install tokenizers==0.22.2 transformers==4.57.6 sentencepiece==0.2.3 protobuf==7.36.2
    VENV/bin/python make.py

Each folder holds vocabulary files as a repository of its family has them, and a tokenizer.json. Both ways in are expected to give the
ids listed for them.
"""
import io, json, os, random, shutil, tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers as N, pre_tokenizers as P, processors, trainers
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = [
    "the quick brown fox jumps over the lazy dog and runs away from the other dogs",
    "she said that they don't know what we'll do, I'm sure you've seen it before",
    "numbers 1, 22, 333 and 4444 in (parentheses) - or not; 3.14159 ... really?",
    "les élèves étaient à l'école, le garçon a mangé une pêche; où est la forêt?",
    "Die Straße ist größer als über Ärger, Öl und Übung",
    "Привет мир, это простой текст на русском языке",
    "नमस्ते दुनिया यह एक परीक्षण है", "สวัสดีชาวโลก นี่คือการทดสอบ", "你好 世界 这是 一个 测试", "日本語 の テキスト カタカナ", "한국어 텍스트 테스트",
    "مرحبا بالعالم هذا اختبار", "unbelievable tokenization of tokens, tokenizers and tokenized things",
] * 3

TEXTS = [
    "", " ", "  ", "\t\n", "Hello world!", "The quick brown fox jumps over the lazy dog.", "DON'T can't we'll I'M you've they'd 's ''s", "  leading and trailing  ",
    "a  b   c    d\n\n\ne\r\nf", "é e\u0301 É E\u0301 a\u0301\u0323 a\u0323\u0301", "ÀÉÎ Straße ẞ İstanbul ı ſ ǅ Σίσυφος ΣΣ", "ﬁ ﬂ ½ ① ² № ™ ℃ Ａｂｃ　ｄ",
    "你好，世界。这是测试", "日本語テキスト、カタカナ", "한국어 텍스트 각", "नमस्ते क्षत्रिय", "สวัสดีชาวโลก ก็ ที่", "مرحبا السَّلَامُ", "👩‍👩‍👧‍👦 👍🏽 🇫🇷🇩🇪 ❤️ 1️⃣",
    "[CLS] hello [SEP] [MASK] [PAD] [UNK]", "a[MASK]b  [MASK]  c [mask]", "<s> hello </s> <mask> <pad> <unk>", "a<mask>b   <mask>,", "a<|endoftext|>b <|endoftext|>",
    "wordtoken word wordtokens xword word. word", "▁hello ▁▁ world▁", "##ing Ġhello <0x0A>", "``quoted'' '' `", "(a) - \"b\" £5 €6 – x.", "1,234,567.89 3,", "....... sooooooo 0000000",
    "\x00a\x01b\x7fc\u0080d\u0085e", "a\u00a0b\u2003c\u3000d\u2028e\u200bf\u00adg\ufeffh", "\ufffd \ue000 \U0010ffff \u0378", "a" * 99, "a" * 101, "é" * 101, "ab" * 400, "!" * 50,
    "x\u0338 ≠ =\u0338 \u1d15f", "\u0344 \u0f73\u0f71 \U00011938", "ͅ\u0345\u0334 a\u0345\u0334", "The the THE tHe " * 12, "foo_bar-baz@example.org http://x.y/z?a=b&c", "½⅓ ¼ x²+y²", "ﬁ\u0897x é\u0897\u0897 \n\u0897", "кириллица ё й Ё Й",
]
PAIRS = [(0, 4), (4, 0), (4, 5), (5, 42), (42, 5), (42, 42), (36, 35), (12, 13), (19, 21), (7, 8), (26, 27), (30, 42)]
LIMITS = [0, 16, 17, 3, 2]


def fuzz(n):
    rnd = random.Random(3)
    ranges = [(0x20, 0x7E)] * 4 + [(0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x218F),
                                   (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xFB00, 0xFFEF), (0x1F300, 0x1F6FF), (0x1D400, 0x1D7FF), (0, 0x1F)]
    for _ in range(n):
        out = ""
        for _ in range(rnd.randint(1, 6)):
            lo, hi = rnd.choice(ranges)
            out += "".join(chr(rnd.randint(lo, hi)) for _ in range(rnd.randint(1, 5))) + rnd.choice(["", " ", "  ", "'s ", "\n"])
        yield out.encode(errors="replace").decode()


def sentencepiece_model(path, pieces, **options):
    """A small Unigram model whose normalization map is small too."""
    rules = {"ﬁ": "fi", "Ａ": "A", "ｂ": "b", "ｃ": "c", "　": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\u200b": "", "½": "1/2", "é": "e\u0301", "a\u0301": "á", "①": "1", "…": "...", "ｶﾞ": "ガ"}
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/rules.tsv", "w") as f:
            for k, v in rules.items():
                f.write(" ".join(f"{ord(c):X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) + "\n")
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=out, vocab_size=pieces, normalization_rule_tsv=d + "/rules.tsv",
                                                 hard_vocab_limit=False, minloglevel=2, **options)
    model = sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())
    model.normalizer_spec.normalization_rule_tsv = ""  # a path of this machine
    with open(path, "wb") as f:
        f.write(model.SerializeToString())


def write(folder, name, value):
    with open(f"{HERE}/{folder}/{name}", "w") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


def begin(folder, klass, **config):
    shutil.rmtree(f"{HERE}/{folder}", ignore_errors=True)
    os.makedirs(f"{HERE}/{folder}")
    write(folder, "tokenizer_config.json", {"tokenizer_class": klass, **config})


def bert(folder, lower):
    begin(folder, "BertTokenizer", do_lower_case=lower)
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = N.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = P.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    vocab = sorted(t.get_vocab().items(), key=lambda x: x[1])
    with open(f"{HERE}/{folder}/vocab.txt", "w") as f:
        f.writelines(w + "\n" for w, _ in vocab)
    # BertProcessing, a single-word token and one that is looked for in the normalized text: what the converter would not make.
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t.add_tokens([AddedToken("word", single_word=True, normalized=False), AddedToken("WorldToken", normalized=True, rstrip=True)])
    t.decoder = decoders.WordPiece()
    t.save(f"{HERE}/{folder}/tokenizer.json")


def byte_level(folder, klass, special, processor):
    begin(folder, klass)
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=P.ByteLevel.alphabet(), show_progress=False))
    m = json.loads(t.to_str())["model"]
    write(folder, "vocab.json", m["vocab"])
    with open(f"{HERE}/{folder}/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(x) + "\n" for x in m["merges"]))
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    if processor:
        t.post_processor = processor(t)
        t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=True)])
    t.save(f"{HERE}/{folder}/tokenizer.json")


def unigram(folder, klass, file, change, **options):
    begin(folder, klass)
    path = f"{HERE}/{folder}/{file}"
    sentencepiece_model(path, 520, **options)
    t = AutoTokenizer.from_pretrained(f"{HERE}/{folder}").backend_tokenizer
    j = json.loads(t.to_str())
    change(j)
    Tokenizer.from_str(json.dumps(j)).save(f"{HERE}/{folder}/tokenizer.json")


def hub_xlmr(j):
    """The pipeline of the hub's XLM-R file."""
    j["normalizer"] = j["normalizer"]["normalizers"][0]
    j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}]}


def fallback(j):
    """Bytes for unknown characters, and no splitting at ▁."""
    j["model"]["byte_fallback"] = True
    j["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": False}
    j["decoder"] = dict(j["pre_tokenizer"])
    j["post_processor"] = None


bert("bert-uncased", True)
bert("bert-cased", False)
byte_level("roberta", "RobertaTokenizer", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 0)))
byte_level("gpt2", "GPT2Tokenizer", ["<|endoftext|>"], None)
unigram("xlmr", "XLMRobertaTokenizer", "sentencepiece.bpe.model", hub_xlmr)
unigram("deberta", "DebertaV2Tokenizer", "spm.model", fallback, byte_fallback=True, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
unigram("albert", "AlbertTokenizer", "spiece.model", lambda j: None, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece="<pad>",
        control_symbols="[CLS],[SEP],[MASK]", user_defined_symbols="(,),\",-,.,–,£,€")

inputs = [[t] for t in TEXTS] + [[TEXTS[a], TEXTS[b]] for a, b in PAIRS] + [[t] for t in fuzz(60)]
expected = {}
for folder in sorted(os.listdir(HERE)):
    d = f"{HERE}/{folder}"
    if not os.path.isdir(d) or folder == "fuzz":
        continue
    with tempfile.TemporaryDirectory() as bare:
        for f in os.listdir(d):
            if f != "tokenizer.json":
                shutil.copy(f"{d}/{f}", bare)
        slow = AutoTokenizer.from_pretrained(bare).backend_tokenizer
    for way, t in (("file", Tokenizer.from_file(d + "/tokenizer.json")), ("converted", slow)):
        rows, decoded = [], []
        for limit in LIMITS:
            t.no_padding()
            special = t.num_special_tokens_to_add(True)
            if limit and limit < special:
                continue
            t.enable_truncation(limit) if limit else t.no_truncation()
            batch = inputs if limit in (0, 16) else inputs[: len(TEXTS) + len(PAIRS)][-len(PAIRS) - 4 :]
            for i in batch:
                e = t.encode(*i)
                if not limit and inputs.index(i) < len(TEXTS):
                    decoded.append([t.decode(e.ids, skip_special_tokens=skip) for skip in (False, True)])
                rows.append([inputs.index(i), limit, (e.type_ids + [1]).index(1), " ".join(map(str, e.ids))])
        expected[f"{folder}/{way}"] = {"size": t.get_vocab_size(), "rows": rows, "decoded": decoded}
with open(HERE + "/expected.json", "w") as f:
    f.write('{"inputs": ' + json.dumps(inputs, ensure_ascii=True) + ',\n"expected": {\n')
    f.write(",\n".join(json.dumps(k) + ': {"size": %d, "rows": [\n' % v["size"] + ",\n".join(map(json.dumps, v["rows"])) + '\n], "decoded": [\n' + ",\n".join(map(json.dumps, v["decoded"])) + "\n]}" for k, v in expected.items()))
    f.write("\n}}\n")

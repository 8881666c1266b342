"""Hugging Face's own tools against our mirror and our cache. Called by run.sh as: check.py STEP FOLDER."""
import os
import pathlib
import sys

step, folder = sys.argv[1], pathlib.Path(sys.argv[2])
NAME = "one/train-00000-of-00001.parquet"
REPO = "pema-test/toy"

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError


def same(path, repo_dir, name):
    assert pathlib.Path(path).read_bytes() == (repo_dir / name).read_bytes(), name


if step == "mirror":  # Python fetches from our mirror
    data, model = folder / "datasets" / REPO, folder / "models" / "pema-test" / "model"
    same(hf_hub_download(REPO, NAME, repo_type="dataset"), data, NAME)
    same(hf_hub_download("pema-test/model", "config.json"), model, "config.json")
    snapshot = pathlib.Path(snapshot_download(REPO, repo_type="dataset"))
    files = sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file())
    assert files == sorted(str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()), files
    for f in files:
        same(snapshot / f, data, f)
    same(pathlib.Path(snapshot_download("pema-test/model")) / "model.safetensors", model, "model.safetensors")
    info = HfApi().dataset_info(REPO, files_metadata=True)
    assert info.sha and {s.rfilename: s.size for s in info.siblings} == {f: (data / f).stat().st_size for f in files}
    assert len(list(HfApi().list_repo_tree(REPO, repo_type="dataset", recursive=True))) == len(files) + 2
    for repo, error, name in (("pema-test/none", RepositoryNotFoundError, "x"), ("pema-test/model", EntryNotFoundError, "x")):
        try:
            hf_hub_download(repo, name)
        except error:
            continue
        raise AssertionError(f"{repo}/{name}: no {error.__name__}")
    from datasets import load_dataset

    loaded = load_dataset(REPO, "two")
    assert {k: v.num_rows for k, v in loaded.items()} == {"train": 50, "validation": 7}, loaded
    assert loaded["train"][3] == {"text": "two train 3", "label": 1}
elif step == "cache":  # Python uses, without network, what our client put into the cache
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    same(hf_hub_download(REPO, NAME, repo_type="dataset"), folder / "datasets" / REPO, NAME)
else:
    raise SystemExit(f"unknown step {step}")
print(step, "ok")

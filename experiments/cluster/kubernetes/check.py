"""Validates manifests, and shows that the schemas do find mistakes."""
import copy, sys

import kubernetes_validate, yaml

for path in sys.argv[1:]:
    documents = list(yaml.safe_load_all(open(path)))
    for version in ("1.29", kubernetes_validate.latest_version()):
        for d in documents:
            kubernetes_validate.validate(d, version, strict=True)
        job = copy.deepcopy(next(d for d in documents if d["metadata"]["name"].endswith("-run")))
        for break_it in (lambda s: s.update(completions="three"), lambda s: s.update(completion=3), lambda s: s.pop("template")):
            bad = copy.deepcopy(job)
            break_it(bad["spec"])
            try:
                kubernetes_validate.validate(bad, version, strict=True)
            except kubernetes_validate.ValidationError:
                continue
            sys.exit(f"{version}: the schema lets a mistake pass")
        print(f"Kubernetes {version}: {len(documents)} documents of {path.rsplit('/', 1)[-1]} are valid")

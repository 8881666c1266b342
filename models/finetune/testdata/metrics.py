"""Makes metrics.json: predictions, labels and the figures that scikit-learn and scipy give for them.
Run with numpy, scipy and scikit-learn installed: python metrics.py > metrics.json"""
import json, math, warnings
import numpy as np
from scipy import stats
from sklearn import metrics as m
warnings.simplefilter("ignore")
r = np.random.default_rng(7)
cases = []
def case(p, l, names):
    p, l = [float(x) for x in p], [float(x) for x in l]
    f = dict(accuracy=lambda: m.accuracy_score(l, p), f1=lambda: m.f1_score(l, p), matthews_correlation=lambda: m.matthews_corrcoef(l, p),
             pearson=lambda: stats.pearsonr(p, l)[0], spearmanr=lambda: stats.spearmanr(p, l)[0])
    out = {}
    for n in names:
        v = float(f[n]())
        undefined = math.isnan(v) or (n == "f1" and 1.0 not in p and 1.0 not in l) or (n == "matthews_correlation" and (len(set(p)) == 1 or len(set(l)) == 1))
        out[n] = None if undefined else v
    cases.append(dict(predictions=p, labels=l, want=out))
for n in (2, 5, 37, 400):
    for k in (2, 3):
        case(r.integers(0, k, n), r.integers(0, k, n), ["accuracy", "matthews_correlation"] + (["f1"] if k == 2 else []))
    x = r.normal(size=n)
    case(x, x * 0.5 + r.normal(size=n), ["pearson", "spearmanr"])
    case(np.round(x, 0), np.round(r.normal(size=n) + x, 0), ["spearmanr"])
    case(1e8 + x, 5 * r.random(n), ["pearson", "spearmanr"])
case([0, 0, 0, 0], [0, 1, 1, 0], ["accuracy", "f1", "matthews_correlation"])
case([0, 0, 0], [0, 0, 0], ["accuracy", "f1", "matthews_correlation"])
case([1, 1, 1], [0, 1, 0], ["accuracy", "f1", "matthews_correlation"])
case([2.5, 2.5, 2.5], [1, 2, 3], ["pearson", "spearmanr"])
print(json.dumps(cases))

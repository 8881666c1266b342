"""Writes statistics.json: paired t intervals and TOST p values by scipy, for the tests of statistics.go.

    python3 -m venv VENV && VENV/bin/pip install scipy && VENV/bin/python statistics.py
"""
import json
import pathlib
import random

import numpy as np
import scipy
from scipy import stats

random.seed(20250501)
cases = []
for n in (2, 3, 5, 8, 20, 200):
    for shift, scale, level, margin in ((0.0, 0.01, 0.95, 0.01), (0.004, 0.002, 0.90, 0.005), (-1.5, 3.0, 0.99, 2.0), (1e-6, 1e-8, 0.95, 2e-6)):
        a = [random.gauss(0.8, 0.05) for _ in range(n)]
        b = [x + random.gauss(shift, scale) for x in a]
        d = np.array(b) - np.array(a)
        t = stats.ttest_rel(b, a)
        ci = t.confidence_interval(level)
        low = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
        high = stats.ttest_1samp(d, margin, alternative="less").pvalue
        cases.append(dict(a=a, b=b, level=level, margin=margin, mean=float(d.mean()), sd=float(d.std(ddof=1)),
                          lo=float(ci.low), hi=float(ci.high), p=float(t.pvalue), tost=float(max(low, high))))
out = pathlib.Path(__file__).with_name("statistics.json")
out.write_text(json.dumps(dict(scipy=scipy.__version__, cases=cases)) + "\n")

"""Gaussian naive Bayes: for each kind its share, and mean and variance of each feature."""

import math
from statistics import fmean, pvariance

LEAST_VARIANCE = 1e-6  # a feature that never varies must not divide by zero


def fit(features, samples):
    """The model of samples, a dictionary of kind to rows of numbers."""
    total = sum(len(rows) for rows in samples.values())
    kinds = {}
    for kind, rows in sorted(samples.items()):
        columns = list(zip(*rows))
        kinds[kind] = {"share": len(rows) / total, "mean": [fmean(column) for column in columns],
                       "variance": [max(pvariance(column), LEAST_VARIANCE) for column in columns]}
    return {"features": features, "kinds": kinds}


def log_likelihood(kind, values):
    out = math.log(kind["share"])
    for value, mean, variance in zip(values, kind["mean"], kind["variance"]):
        out -= 0.5 * (math.log(2 * math.pi * variance) + (value - mean) ** 2 / variance)
    return out


def guess(model, values):
    """The likeliest kind, and its posterior probability."""
    scores = {name: log_likelihood(kind, values) for name, kind in model["kinds"].items()}
    best = max(scores, key=scores.get)
    return best, 1 / sum(math.exp(score - scores[best]) for score in scores.values())

"""Logistic regression by gradient descent."""

from __future__ import annotations

from math import exp
from typing import Any


class Model:
    """Weights of features that are scaled to mean 0 and deviation 1; the last weight is the constant."""

    def __init__(self, weights: list[float], means: list[float], deviations: list[float]) -> None:
        self.weights = weights
        self.means = means
        self.deviations = deviations

    def probability(self, x: list[float]) -> float:
        """Return the probability of yes."""
        scaled = zip(x, self.means, self.deviations, strict=True)
        inputs = [(value - mean) / deviation for value, mean, deviation in scaled]
        return 1 / (1 + exp(-sum(w * value for w, value in zip(self.weights, [*inputs, 1.0], strict=True))))

    def parameters(self) -> dict[str, Any]:
        """Return what the model is made of."""
        return {"weights": self.weights, "means": self.means, "deviations": self.deviations}


def fit(xs: list[list[float]], ys: list[bool], *, rounds: int, rate: float) -> Model:
    """Fit a model: `rounds` steps of size `rate` down the mean gradient."""
    columns = list(zip(*xs, strict=True))
    means = [sum(column) / len(column) for column in columns]
    spreads = [
        sum((value - mean) ** 2 for value in column) for column, mean in zip(columns, means, strict=True)
    ]
    deviations = [(spread / len(xs)) ** 0.5 or 1.0 for spread in spreads]
    model = Model([0.0] * (len(columns) + 1), means, deviations)
    scaled = [[(v - m) / d for v, m, d in zip(x, means, deviations, strict=True)] + [1.0] for x in xs]
    for _ in range(rounds):
        errors = [model.probability(x) - y for x, y in zip(xs, ys, strict=True)]
        slopes = [
            sum(e * x[i] for e, x in zip(errors, scaled, strict=True)) / len(xs)
            for i in range(len(columns) + 1)
        ]
        model.weights = [weight - rate * slope for weight, slope in zip(model.weights, slopes, strict=True)]
    return model

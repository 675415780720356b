"""The model: two generalised linear models, one for whether a customer orders again, one for how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from prediction.orders import features, spend_after

MORE_LIKELY_THAN_NOT = 0.5


@dataclass(frozen=True)
class Model:
    """A fitted model. Saved whole by joblib, so that an application needs nothing but the file."""

    horizon: pd.Timedelta
    orders_again: Pipeline
    spends: Pipeline

    def predict(self, orders: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
        """
        Foretell the horizon that follows `as_of`, one row per customer.

        probability: of at least one order. value: the expected spend in US dollars. label: whether an
        order is more likely than none.
        """
        customers = features(orders, as_of, self.horizon)
        probability = self.orders_again.predict_proba(customers)[:, 1]
        return pd.DataFrame(
            {
                "probability": probability.round(4),
                "value": self.spends.predict(customers).round(2),
                "label": probability >= MORE_LIKELY_THAN_NOT,
            },
            index=customers.index,
        )


def fit(orders: pd.DataFrame, as_of: pd.Timestamp, horizon: pd.Timedelta) -> Model:
    """Learn from the newest horizon that is over on `as_of`: customers before it, their spend within it."""
    start = as_of - horizon
    customers = features(orders, start, horizon)
    spend = spend_after(orders, start, horizon, customers.index)
    # Between Poisson (1) and gamma (2): most customers spend exactly nothing, the others a skewed amount.
    amounts = TweedieRegressor(power=1.5, alpha=0.01, solver="newton-cholesky")
    return Model(
        horizon=horizon,
        orders_again=_on_logarithms(LogisticRegression()).fit(customers, spend > 0),
        spends=_on_logarithms(amounts).fit(customers, spend),
    )


def _on_logarithms(regression: LogisticRegression | TweedieRegressor) -> Pipeline:
    """Feed it logarithms: of counts, days and dollars alike it is the ratios that matter."""
    return make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), regression)

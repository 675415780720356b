"""How good the model is on a quarter it has not seen, beside what one would do without a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, roc_auc_score

from prediction.model import fit
from prediction.orders import features, spend_after


def evaluate(orders: pd.DataFrame, as_of: pd.Timestamp, horizon: pd.Timedelta) -> dict[str, float]:
    """
    Score a model made as of one horizon ago by what has happened since.

    The baselines: customers ranked by their last order (for AUC) or by their spend so far (for the
    best tenth), and for every customer the share who ordered in the quarter before (for Brier).
    """
    before = as_of - horizon
    known = features(orders, before, horizon)
    predicted = fit(orders, before, horizon).predict(orders, before)
    spend = spend_after(orders, before, horizon, known.index)
    ordered = spend > 0
    earlier_share = (known["recent_spend"] > 0).mean()
    scores = {
        "customers": len(known),
        "auc": roc_auc_score(ordered, predicted["probability"]),
        "auc_baseline": roc_auc_score(ordered, -known["days_since_last"]),
        "brier": brier_score_loss(ordered, predicted["probability"]),
        "brier_baseline": brier_score_loss(ordered, np.full(len(known), earlier_share)),
        "ordered_share": ordered.mean(),
        "ordered_share_predicted": predicted["probability"].mean(),
        "spend": spend.sum(),
        "spend_predicted": predicted["value"].sum(),
        "best_tenth_spend_share": _best_tenth_share(spend, by=predicted["value"]),
        "best_tenth_spend_share_baseline": _best_tenth_share(spend, by=known["spend"]),
    }
    return {name: round(float(score), 4) for name, score in scores.items()}


def _best_tenth_share(spend: pd.Series, *, by: pd.Series) -> float:
    """Give the part of all spend that comes from the tenth of customers that `by` ranks highest."""
    best = by.nlargest(len(by) // 10).index
    return spend[best].sum() / spend.sum()

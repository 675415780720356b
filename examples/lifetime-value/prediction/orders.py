"""From orders to customers: what was known of each on a day, and what they spent afterwards."""

from __future__ import annotations

import pandas as pd


def load(path: str) -> pd.DataFrame:
    """Read orders with the columns customer_id (text), date, cds and amount (US dollars)."""
    return pd.read_csv(path, dtype={"customer_id": "str"}, parse_dates=["date"])


def features(orders: pd.DataFrame, as_of: pd.Timestamp, horizon: pd.Timedelta) -> pd.DataFrame:
    """Describe each customer by the orders up to `as_of` alone, so that nothing leaks from later days."""
    past = orders[orders["date"] <= as_of]
    recent = past[past["date"] > as_of - horizon].groupby("customer_id")
    history = past.groupby("customer_id")
    customers = pd.DataFrame(
        {
            "orders": history["date"].nunique(),
            "spend": history["amount"].sum(),
            "recent_orders": recent["date"].nunique(),
            "recent_spend": recent["amount"].sum(),
            "days_since_first": (as_of - history["date"].min()).dt.days,
            "days_since_last": (as_of - history["date"].max()).dt.days,
        }
    )
    return customers.fillna(0.0)


def spend_after(
    orders: pd.DataFrame, as_of: pd.Timestamp, horizon: pd.Timedelta, customers: pd.Index
) -> pd.Series:
    """Add up what each of `customers` spent within `horizon` after `as_of`: what a model has to foretell."""
    future = orders[(orders["date"] > as_of) & (orders["date"] <= as_of + horizon)]
    return future.groupby("customer_id")["amount"].sum().reindex(customers, fill_value=0.0)

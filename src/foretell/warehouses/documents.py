"""JSON that stands in a table, as a value to be shown."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from itertools import accumulate
from typing import NoReturn

import msgspec

DEEP = 100
"""Levels of brackets that are taken apart; what is deeper is shown as its text."""


def document(text: str) -> object:
    """
    Return what a stored text means as JSON, or the text itself where it cannot be shown as a value.

    A table may hold what was put there by others or by older checks: NaN, numbers that no float holds, any depth.
    """
    brackets = re.sub(r'"(?:[^"\\]|\\.)*"|[^][{}"]', "", text, flags=re.DOTALL)
    if max(accumulate((1 if each in "[{" else -1 for each in brackets), initial=0)) > DEEP:
        return text
    try:
        value: object = json.loads(text, parse_float=_float, parse_constant=_none)
        msgspec.json.encode(value)
    except (ValueError, OverflowError, msgspec.MsgspecError):
        return text
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(text):
        raise ValueError(text)
    return value


def _none(constant: str) -> NoReturn:
    raise ValueError(constant)

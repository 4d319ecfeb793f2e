"""Rows of several files as if they were of one, and from when until when they tell of each name."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from civobs_collector.evaluate.forms import Coded, Rows, ThroughputRows, asn_of
from civobs_collector.evaluate.score import Extent


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of parts of one form, in their order; the step is that of the part with most rows."""
    if len(parts) == 1:
        return parts[0]
    largest = max(parts, key=n_rows)
    columns: dict[str, Any] = {}
    for field in fields(largest):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], Coded):
            columns[field.name] = _recoded(values)
        elif isinstance(values[0], np.ndarray):
            columns[field.name] = np.concatenate(values)
    return replace(largest, **columns)


def n_rows(rows: Rows) -> int:
    """How many there are."""
    return len(rows.at)


def _recoded(parts: Sequence[Coded]) -> Coded:
    names = tuple(sorted({name for part in parts for name in part.names}))
    places = {name: place for place, name in enumerate(names)}
    codes = [
        np.array([places[name] for name in part.names], dtype=np.int32)[part.codes] for part in parts if part.names
    ]
    return Coded(np.concatenate(codes) if codes else np.zeros(0, dtype=np.int32), names)


def extents(rows: Rows) -> dict[str, Extent]:
    """For every name of a group, test, network, country and target, lower case: the first time and the last."""
    width = 0.0 if isinstance(rows, ThroughputRows) else rows.step.seconds
    found: dict[str, Extent] = {}
    for field in ("group", "test", "network", "country", "target"):
        column = getattr(rows, field, None)
        if isinstance(column, Coded) and len(column.codes):
            first, last = np.full(len(column.names), np.inf), np.full(len(column.names), -np.inf)
            # A test without times is there at all times.
            np.minimum.at(first, column.codes, np.where(np.isnan(rows.at), -np.inf, rows.at))
            np.maximum.at(last, column.codes, np.where(np.isnan(rows.at), np.inf, rows.at + width))
            for name, start, end in zip(column.names, first.tolist(), last.tolist(), strict=True):
                found[name.casefold()] = (start, end)
                if asn_of(name):
                    found[str(asn_of(name))] = (start, end)
    return found

"""Datasets, real and made: the registry's names, and one reader module for each (see `registry`)."""

from __future__ import annotations

from models.datasets.registry import (
    DATASETS,
    Dataset,
    Row,
    RowKind,
    data_directory,
    dataset,
    locate,
    made_directory,
    rows,
)

__all__ = [
    "DATASETS",
    "Dataset",
    "Row",
    "RowKind",
    "data_directory",
    "dataset",
    "locate",
    "made_directory",
    "rows",
]

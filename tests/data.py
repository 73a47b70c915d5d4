"""Where the datasets are, for tests that need one; without it they are skipped and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.datasets import data_directory, locate
from models.errors import DataMissing


def needs(dataset: str) -> Path:
    """The data directory, with *dataset* in it and checked; skips the test where it is not."""
    directory = data_directory(os.environ)
    try:
        locate(dataset, directory)
    except DataMissing as missing:
        pytest.skip(str(missing))
    return directory

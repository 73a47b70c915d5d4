"""Which datasets there are, where they lie, and what a row of any of them is. Readers live next door.

A dataset is data the project never ships: a folder under the data directory, known by the sha256 of each file
that is read. Training and replay read it through the same reader, so that both see the same payloads.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from models.errors import DataMissing, UsageError

RowKind = Literal["vitals", "note", "sensor", "log"]
"""The contract's four kinds of input."""

HASH_CHUNK_BYTES = 1 << 20
"""How much of a file is in memory while it is hashed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message of a dataset, as a device would have sent it, and what is known to be true of it."""

    device: str
    time_ms: int
    """Epoch milliseconds."""
    kind: RowKind
    payload: dict[str, Any]
    """The contract's JSON object for *kind*, without id, time and test."""
    id: str
    """Unique per device and kind."""
    truth: dict[str, Any] = field(default_factory=dict)
    """Labels by name; never part of what a model sees. Empty where the dataset says nothing."""


Reader = Callable[[Path], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: where it comes from, under which licence, which files it needs, and who reads it."""

    name: str
    title: str
    origin: str
    licence: str
    folder: str
    """Its folder's name in the data directory."""
    files: Mapping[str, str]
    """Path in the folder to the file's sha256, hex, for every file the reader opens."""
    module: str
    """The reader's module, which has `rows(folder)`; imported when it is needed."""

    @property
    def reader(self) -> Reader:
        """The function that yields the rows of this dataset's folder."""
        reader: Reader = importlib.import_module(self.module).rows
        return reader


def _listed(name: str) -> dict[str, str]:
    """The files of a dataset that has many, from the list beside this module, as sha256sum writes one."""
    lines = (files("models.datasets") / f"{name}.sha256").read_text("utf-8").splitlines()
    return {path: sha256 for sha256, path in (line.split("  ", 1) for line in lines)}


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="ktas-triage",
            title="KTAS emergency-department triage records (950 of 1,267)",
            origin="Moon et al. 2019, PLOS ONE 14(9): e0216972, doi:10.1371/journal.pone.0216972",
            licence="CC-BY-4.0",
            folder="ktas-triage",
            files={"ktas.csv": "075c1c5587468c3ef1d842b18941058a225bea6de436a6ce377a6eab30a0a8e5"},
            module="models.datasets.ktas",
        ),
        Dataset(
            name="physionet-icu-2012",
            title="PhysioNet/CinC Challenge 2012: time-stamped ICU readings, first 48 hours (sets a and b)",
            origin="Silva et al. 2012, Comput Cardiol 39:245-248; physionet.org/content/challenge-2012/1.0.0",
            licence="ODC-By-1.0",
            folder="physionet-icu-2012",
            files={
                "events_set_a.csv.gz": "a01321b73395efe784adf6964228c85039513b08bd95ded16cc133de6664cdd3",
                "events_set_b.csv.gz": "ba3debf8fbcf342049166b6c7291788526411a30e5e7eb0d28b08a1af11bb0f6",
                "outcomes_a.csv": "2613ea60ccda29f87571a7d6b09ad130858a8ccd66325bd073365925026883c2",
                "outcomes_b.csv": "1305f29734da374a809483229a99f33a9230aa8d4fa74b1a2d6ad788136423d5",
            },
            module="models.datasets.icu2012",
        ),
        Dataset(
            name="physionet-sepsis-2019",
            title="PhysioNet/CinC Challenge 2019: hourly ICU vitals, sepsis label per hour (30,252 patients)",
            origin="Reyna et al. 2020, Crit Care Med 48(2):210-217; PhysioNet doi:10.13026/v64v-d857",
            licence="CC-BY-4.0",
            folder="physionet-sepsis-2019",
            files={
                "hospital_A.csv.gz": "056fd6f3d4a018cd9a4f1d7f902b842443611fb4af8b71bbe20de23f22438217",
                "hospital_B.csv.gz": "cb5a2c60f670066618076a327f927f2dd99f64da5cba454f03a66f7837b6ce73",
            },
            module="models.datasets.sepsis2019",
        ),
        Dataset(
            name="skab",
            title="SKAB: Skoltech anomaly benchmark, water-pump testbed (25 of 34 runs); evaluation only",
            origin="Katser, Kozitsin 2020, doi:10.34740/KAGGLE/DSV/1693952; github waico/SKAB",
            licence="GPL-3.0-only",
            folder="skab",
            files=_listed("skab"),
            module="models.datasets.skab",
        ),
        Dataset(
            name="bgl",
            title="BGL supercomputer log lines with alert labels (1,500 of loghub's 2,000); evaluation only",
            origin="Oliner, Stearley 2007; Zhu et al. 2023, ISSRE; github logpai/loghub",
            licence="loghub's own: research and academic use",
            folder="loghub-logs",
            files={
                "BGL_2k_structured.csv": "09ec5e53bebdb9164863acb9590a210077e914b3029d4f67d34b16c79d81b3cf"
            },
            module="models.datasets.bgl",
        ),
        Dataset(
            name="nab",
            title="Numenta Anomaly Benchmark v1.1: single series with labelled windows (43 of 58)",
            origin="Ahmad et al. 2017, Neurocomputing 262:134-147, doi:10.1016/j.neucom.2017.04.070",
            licence="MIT",
            folder="nab",
            files=_listed("nab"),
            module="models.datasets.nab",
        ),
        Dataset(
            name="occupancy",
            title="Occupancy detection: an office's temperature, humidity, light and CO2, once a minute",
            origin="Candanedo, Feldheim 2016, Energy and Buildings 112:28-39; UCI 357, doi:10.24432/C5X01N",
            licence="CC-BY-4.0",
            folder="occupancy",
            files={
                "datatest.txt": "1b92c7c1b2838963464fa891a610cf3c5db4becb7189189b29b330107a584c7f",
                "datatraining.txt": "b2c4d0ce2b9e4e453c476f7125ef31aeec2d1f5c7f5572d0e80de3df6521ab56",
            },
            module="models.datasets.occupancy",
        ),
        Dataset(
            name="mts-dialog",
            title="MTS-Dialog: sections of clinical notes, each with its section's name (1,301)",
            origin="Ben Abacha et al. 2023, EACL; github abachaa/MTS-Dialog",
            licence="CC-BY-4.0",
            folder="mts-dialog",
            files={
                "train.csv": "65a28681dd59fc159681ea026e44610f2af7bc64a0e7f892d763eb03d9f503dc",
                "validation.csv": "227206520c4534381c0d7fba6d3f09319a9af5a6d9603a93c0341af1198e3958",
            },
            module="models.datasets.mts_dialog",
        ),
    )
}
"""Every dataset by name."""


def dataset(name: str) -> Dataset:
    """The dataset called *name*; UsageError, naming those there are, if there is none."""
    try:
        return DATASETS[name]
    except KeyError:
        raise UsageError(f"there is no dataset {name!r}; there are {', '.join(DATASETS)}") from None


def data_directory(env: Mapping[str, str]) -> Path:
    """Where datasets lie: EDGEWARD_DATA, or `data` in the working directory."""
    return Path(env.get("EDGEWARD_DATA") or "data")


def made_directory(env: Mapping[str, str]) -> Path:
    """Where simulated datasets lie: EDGEWARD_MADE, or `data/made` in the working directory."""
    return Path(env.get("EDGEWARD_MADE") or Path("data") / "made")


def locate(name: str, directory: Path) -> Path:
    """The folder of dataset *name* in *directory*, every file of it checked against its sha256.

    Raises UsageError for an unknown name, and DataMissing, naming every file at fault, when one is absent,
    unreadable or not the file the dataset is known by.
    """
    wanted = dataset(name)
    folder = directory / wanted.folder
    if not folder.is_dir():
        raise DataMissing(
            f"dataset {name} is not here: {folder} is no folder (EDGEWARD_DATA says where data lie)"
        )
    faults = []
    for path, sha256 in wanted.files.items():
        try:
            found = _sha256(folder / path)
        except OSError as exc:
            faults.append(f"{path} can't be read ({exc.strerror})")
        else:
            if found != sha256:
                faults.append(f"{path} is another file (sha256 {found[:16]}…, not {sha256[:16]}…)")
    if faults:
        raise DataMissing(f"dataset {name} in {folder} is not complete: {'; '.join(faults)}")
    return folder


def rows(name: str, directory: Path) -> Iterator[Row]:
    """The rows of dataset *name* in *directory*, checked first; raises what `locate` raises."""
    return dataset(name).reader(locate(name, directory))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

"""Which datasets there are, where they lie, and what a row of any of them is. Readers live next door.

A dataset is data the project never ships: a folder under the data directory, known by the sha256 of each file
that is read. Training and replay read it through the same reader, so that both see the same payloads.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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


_SKAB_FILES = {
    "anomaly-free/anomaly-free.csv.gz": "29ceb2b2a9e92777e03f2f91c9679a951a19e4a994470ad57db18438908fe00e",
    "other/11.csv.gz": "539e84a9bd0d7ab5f4f9bd488a69a8efb549cfa507485ceec8e2e29ccfc59e0a",
    "other/12.csv.gz": "a0b001c540deca2d54621210916c185742d905208fe8961db5ed0518d0773008",
    "other/13.csv.gz": "4cdc64f9bdacf6346395afab970918bf2a8af3cbe91bd014faf0bb87dab3f5b6",
    "other/14.csv.gz": "0bc9a0fba048b31b7718da8d829dbed87097441556c08ecf38946142e78e566b",
    "other/2.csv.gz": "affd88efe2cdfd0f82148a7d6bfc86e28074bea34e8bdac1922614ef0a8ac610",
    "other/4.csv.gz": "bd25da82f256afc4a4e6fb419aa387acfc14aba2a4132ea8dbbf5f66c055eac9",
    "other/5.csv.gz": "34142cc42cc4917d3d644342c09bd8f6912e31b89668a404c08322ae95c587bc",
    "other/7.csv.gz": "fee29a01482f35b82f7dbd09e330de847cb50454ce53f733ce8b119f31ace5cb",
    "other/8.csv.gz": "5ed4f6e544c8206b592442bfcd9ee35c9f7b143cae567501f4201966dbbb2b32",
    "other/9.csv.gz": "7ad1949eecb7faca76d13ba371e31bdec3b07731987fa873803a33c633eb1d9c",
    "valve1/0.csv.gz": "0cac7d3ca35e5879d30f8a0f50ec18c8833928b3147be7aa0c340a27632a2e07",
    "valve1/1.csv.gz": "580f59089530a4f503faf62dd585cf964ce64cacc8006ba6a5f2134596a8c506",
    "valve1/10.csv.gz": "b1a1d21bfecbbe3a8a5fea572d03a7ce513fc5b8b39dd42f3dd4c6ef373faa18",
    "valve1/11.csv.gz": "4d4caa60a71ed0b70ba08a2b8e99dafafd8c5179012526450d5dd280b07fc06f",
    "valve1/12.csv.gz": "023f3e49e72ebf3f790f88025e6922543dfb70787229388dda95a72a6bfeb439",
    "valve1/13.csv.gz": "94b85acc5416b1addbb16fcfc8ba40c33095da5d14ddcabe34599e5a597a37d4",
    "valve1/15.csv.gz": "a648d436280b094639c8623e35dea251adaf12354f6888fb8554634b2e74f75d",
    "valve1/2.csv.gz": "9cf07fca936ee6303d9b18e6dc07627324b2a9d77e51d0e09a42548c96a27d34",
    "valve1/3.csv.gz": "6bef3ce780ec6110b31331ec0813f60867d4027cdbce8196ac742fc7b3d29469",
    "valve1/5.csv.gz": "c5ca524c68f5167a44296e2916c2aac006639af9dcd85fc72e73dd5e98aa0f86",
    "valve1/6.csv.gz": "de3fe90566f7acf39d8a19532a54f8cdb31034ad7211601948f2816ea1f37e5c",
    "valve1/7.csv.gz": "1f9d26db23f6997dc3f812b46691fd6328c2a7f40933c3b400e76cdde283252b",
    "valve2/1.csv.gz": "0f1a485f53e28f665c2c412388970428b0b81a2f03936d608e0fc1c468fdf836",
    "valve2/2.csv.gz": "06f8f269cb451237a0959a2fee86c2b4ad129e6a23a633fe9e095dbdbce762e2",
    "valve2/3.csv.gz": "70f5539692fb35991f3b7d490ca49db7996b7d246fd6cb6870c77d771e41b429",
}

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
            files=_SKAB_FILES,
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

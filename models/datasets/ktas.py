"""Reader of ktas-triage: emergency-department triage records with the experts' acuity, as note messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.datasets.registry import Row

FIRST_MS = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The data have no times of day; the first record is given this instant."""
STEP_MS = 60_000
"""From one record to the next."""

VITALS = {"hr": "HR", "rr": "RR", "spo2": "Saturation", "sbp": "SBP", "dbp": "DBP", "temp": "BT"}
"""Contract field to column."""
SEX = {"1": "F", "2": "M"}
MENTAL = {"1": "A", "2": "V", "3": "P", "4": "U"}
ARRIVAL = {"1": "walk-in", "2": "ambulance", "3": "private", "4": "ambulance"}
"""5, 6 and 7 are other ways of arriving."""
INJURY = {"1": False, "2": True}


def rows(folder: Path) -> Iterator[Row]:
    """Rows in the order of the file: one device and one note a record, both called `ktas-{rid}`.

    Truth is `acuity`, "1" to "5", what three triage experts gave afterwards, and `nurse`, what the triage
    nurse gave on the spot. Everything else that was known only after triage is left out, as are the
    hospital and how busy it was, which the contract has no fields for. Impossible values stay: the gateway
    refuses them alone, and `models.notes.note_input` drops them by the same bounds.
    """
    with (folder / "ktas.csv").open(encoding="utf-8", newline="") as file:
        for number, record in enumerate(csv.DictReader(file)):
            name = f"ktas-{record['rid']}"
            yield Row(
                device=name,
                time_ms=FIRST_MS + number * STEP_MS,
                kind="note",
                payload=_payload(record),
                id=name,
                truth={"acuity": record["KTAS_expert"], "nurse": record["KTAS_RN"]},
            )


def _payload(record: dict[str, str]) -> dict[str, Any]:
    vitals: dict[str, Any] = {
        field: float(record[column]) for field, column in VITALS.items() if record[column]
    }
    vitals["acvpu"] = MENTAL[record["Mental"]]
    payload: dict[str, Any] = {
        "text": record["Chief_complain"],
        "age": float(record["Age"]),
        "sex": SEX[record["Sex"]],
        "vitals": vitals,
        "injury": INJURY[record["Injury"]],
        "arrival": ARRIVAL.get(record["Arrival mode"], "other"),
    }
    if record["Pain"] == "0":
        payload["pain"] = 0.0
    elif record["NRS_pain"]:
        payload["pain"] = float(record["NRS_pain"])
    return payload

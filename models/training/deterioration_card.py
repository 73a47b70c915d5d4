"""The words and tables of the deterioration bundle's `card.md`, made of its metrics. No figure is written
by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.training import common

WHAT = """
A small int8 network (TFLite) over features of the last twelve hours of heart rate, breathing rate,
oxygen saturation, blood pressure and temperature. It answers `scores.risk`: the probability that the
hour is one of those from six hours before the onset of sepsis on, as the training data label them.

**Not a medical device.** It was never tested on a ward. It is a first model, published with its weak
figures so that better ones can be measured against them.
"""

DATA = """
PhysioNet/CinC Challenge 2019, hospitals A and B (CC BY 4.0; Reyna et al. 2020,
doi:10.1097/CCM.0000000000004145; Goldberger et al. 2000): intensive care only, adults, two hospitals of
one country. 60 % of the patients train, 15 % set calibration and thresholds, 25 % are held out. Hours of
stay, laboratory values, age and sex are not used: no vitals topic carries them. Nor is how often
something was measured: that tells hospitals apart rather than patients. The held-out patients are not
untouched: the choice to leave that out was made on another split of the same patients, after a model
with it had been scored on these.
"""

LIMITS = """
Most alerts are false: see the positive predictive value. Models of these two hospitals collapsed on a
third one in the Challenge itself; expect the same elsewhere. Readings every few minutes make the same
features as hourly ones by construction, but no such data were there to measure it. It declines to answer
(`unknown`) when fewer than three of the six vital signs are known within twelve hours.
"""

PLACES = ("both", "A", "B")


def card(metrics: Mapping[str, Any], thresholds: Mapping[str, float]) -> bytes:
    """The card of a bundle with these *metrics* and *thresholds*."""
    columns = ("patients", "hours", "auroc", "average_precision", "news2_auroc", "majority_auroc")
    ranking = common.table(
        ("hospital", *columns),
        [(place, *(metrics[place][column] for column in columns)) for place in PLACES],
    )
    at_label = common.table(
        ("hospital", *metrics["both"]["at_label"]),
        [(place, *metrics[place]["at_label"].values()) for place in PLACES],
    )
    export = [(mode, item["bytes"], item["auroc"]) for mode, item in metrics["export"].items()]
    rows = (
        f"Rows are {metrics['rows']}, {metrics['answered']:.1%} of all. Intervals are 95 %, by bootstrap "
        "over patients. NEWS2 is computed from the same newest values, without consciousness and oxygen, "
        "which the data lack."
    )
    meaning = (
        f"`at-risk`, and an alert on, from {thresholds['label']:.4f}: {metrics['label_rule']}. An alert goes "
        f"off below {thresholds['off']:.4f}: {metrics['off_rule']}."
    )
    return common.card(
        "deterioration: risk from a stream of vital signs",
        {
            "What it is": WHAT,
            "Training data": DATA,
            "Figures on held-out patients": f"{rows}\n\n{ranking}",
            "At the label's threshold": f"{meaning}\n\n{at_label}",
            "One hospital to the other": common.table(
                ("trained on one alone", "AUROC"), metrics["hospitals"].items()
            ),
            "int8 against float": common.table(("file", "bytes", "AUROC"), export),
            "Limits": LIMITS,
        },
    )

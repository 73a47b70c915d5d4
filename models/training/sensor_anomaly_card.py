"""The words and tables of the sensor-anomaly bundle's `card.md`, made of its metrics alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.training import common

WHAT = """
A device first learns its own normal start (mean, spread and covariance of its channels, by default on
400 readings). Each further reading becomes a vector of distances from that normal, which means the same
for every machine: T², Q, largest deviations, smoothed ones, rates of change, silent channels. A small
int8 network (TFLite) turns it into `scores.anomaly`. The network is monotone: further from normal never
scores lower.
"""

DATA = """
Simulated machines only (`edgeward data make sensor-anomaly`): pumps, valves, bearings and cold rooms
with labelled faults of their own and of their sensors, and healthy drift. 60 % of the machines train, 15
% set calibration and thresholds, 25 % are held out. Readings of the mildest faults and of recovery after
a fault neither train nor count. SKAB (a real water-pump testbed, GPL-3.0) evaluates; nothing of it is in
the model. While the simulator was written, and when the rule for the thresholds was chosen, figures on
SKAB and on the held-out machines were looked at. Two choices rest on what is published of SKAB: healthy
sensors stray so that plain T² + Q flags about as many healthy simulated readings as published (26.6 %),
and T² keeps 85 % of the variance. So the SKAB figures are not those of a wholly unseen set.
"""

LIMITS = """
The normal is learnt once, at the start. A machine that is started in a fault, or whose healthy operation
moves on for good, must learn anew: on SKAB's long healthy run nearly everything is far from its first
400 readings. A change of load that the learning time never saw can look like a fault.
"""


def card(metrics: Mapping[str, Any], thresholds: Mapping[str, float]) -> bytes:
    """The card of a bundle with these *metrics* and *thresholds*."""
    meaning = (
        f"`anomaly` from {thresholds['label']:.4f}: {metrics['label_rule']}. An alert goes on from "
        f"{thresholds['on']:.4f}: {metrics['on_rule']}; off below the label's threshold."
    )
    sections = {
        "What it is": WHAT,
        "Training data": DATA,
        "Thresholds": meaning,
        "Held-out simulated machines": _figures(metrics["simulated"])
        + "\n\nShare of readings found, by fault:\n\n"
        + common.table(("fault", "found"), metrics["found_by_fault"].items()),
    }
    if "skab" in metrics:
        run = metrics["skab_healthy_run"]
        sections["SKAB, after row 400 of each experiment"] = (
            _figures(metrics["skab"])
            + f"\n\nOn its long healthy run the model flags {run['model_far']:.1%} of the readings, "
            + f"T² + Q {run['t2_q_far']:.1%}."
        )
    sections["int8 against float"] = common.table(
        ("file", "bytes", "AUROC"),
        [(mode, item["bytes"], item["auroc"]) for mode, item in metrics["export"].items()],
    )
    sections["Limits"] = LIMITS
    return common.card("sensor-anomaly: a machine against its own normal start", sections)


def _figures(of: Mapping[str, Any]) -> str:
    auroc = common.table(
        ("devices", "readings", "anomalous", "AUROC"),
        [(of["devices"], of["readings"], of["anomalous"], of["auroc"])],
    )
    names = {"model": "this model", "t2_q": "plain T² + Q", "all_flagged": "everything flagged"}
    rates = [(title, of[key]["f1"], of[key]["far"], of[key]["mar"]) for key, title in names.items()]
    words = "Intervals are 95 %, by bootstrap over devices."
    alerts = of["alerts"]
    sentence = (
        f"Alerts, with both thresholds: {alerts['stretches_found']} of {alerts['stretches']} stretches of "
        f"anomalous readings are found, and {alerts['false_alerts']} alerts begin in healthy readings "
        f"({alerts['false_per_1000_healthy']} in a thousand)."
    )
    return "\n\n".join((words, auroc, common.table(("", "F1", "false alarms", "missed"), rates), sentence))

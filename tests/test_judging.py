"""How text models are judged: figures against values known from elsewhere, and a whole training."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from models.lines import LineClassifier
from models.training import common, judge_acuity, judge_lines
from models.training.judge_acuity import Answers
from simulators.made import write


def levels(*values: int) -> np.ndarray:
    return np.array(values, np.intp)


def test_weighted_kappa_is_one_for_agreement_and_zero_for_a_constant() -> None:
    """Its two fixed points."""
    truth = levels(0, 1, 2, 3, 4, 2, 3)
    assert judge_acuity.kappa(truth, truth) == 1
    assert judge_acuity.kappa(truth, np.full_like(truth, 2)) == pytest.approx(0)


def test_weighted_kappa_counts_distance() -> None:
    """By hand, with the margins 2, 1, 1 of truth and 1, 3, 0 of labels."""
    truth, labels = levels(0, 0, 1, 2), levels(0, 1, 1, 1)
    observed = (0 + 1 + 0 + 1) / 4
    expected = (2 * (1 * 0 + 3 * 1) + 1 * (1 * 1 + 3 * 0) + 1 * (1 * 2 + 3 * 1)) / 16
    assert judge_acuity.kappa(truth, labels) == pytest.approx(1 - observed / expected)


def test_figures_of_acuity_say_who_was_missed() -> None:
    """Levels 0 and 1 are urgent; a label above the truth is under-triage."""
    truth = levels(0, 1, 2, 3)
    found = judge_acuity.figures(truth, [Answers(np.eye(5)[truth], levels(0, 2, 1, 3))])
    assert found["urgent_recall"]["value"] == 0.5
    assert found["urgent_precision"]["value"] == 0.5
    assert found["under_triage"]["value"] == 0.25
    assert found["over_triage"]["value"] == 0.25
    assert found["within_one_level"]["value"] == 1
    assert found["log_loss"]["value"] == 0


def test_a_figure_that_is_not_defined_is_left_out() -> None:
    """The precision of a model that never says urgent."""
    truth = levels(0, 2, 3)
    found = judge_acuity.figures(truth, [Answers(np.eye(5)[truth], levels(3, 3, 3))], seed=1)
    assert "urgent_precision" not in found
    assert found["urgent_recall"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_macro_f1_and_auroc_of_lines() -> None:
    """By hand: F1 of alerts 2/3, of normal lines 6/7; of 6 pairs 5 are in order and one is tied."""
    truth = np.array([True, True, False, False, False])
    labels = np.array([True, False, False, False, False])
    found = judge_lines.figures(truth, labels, np.array(list("abcde")), seed=1)
    assert found["macro_f1"]["value"] == pytest.approx((2 / 3 + 6 / 7) / 2, abs=1e-4)
    assert found["alert_recall"]["value"] == 0.5
    assert judge_lines.auroc(truth, np.array([0.9, 0.5, 0.5, 0.1, 0.2])) == pytest.approx(5.5 / 6)


def test_an_interval_holds_the_value_and_is_wider_over_groups_of_copies() -> None:
    """Ten copies of a row know no more than one."""
    values = np.random.default_rng(1).random(100)
    copies, groups = np.repeat(values, 10), np.repeat(np.arange(100), 10)
    low, high = common.bootstrap_interval(lambda rows: float(values[rows].mean()), 100, seed=1)
    assert low < values.mean() < high
    as_rows = common.bootstrap_interval(lambda rows: float(copies[rows].mean()), 1000, seed=1)
    as_groups = common.bootstrap_interval(lambda rows: float(copies[rows].mean()), groups, seed=1)
    assert as_groups[1] - as_groups[0] > 2 * (as_rows[1] - as_rows[0])
    assert as_groups[1] - as_groups[0] == pytest.approx(high - low, rel=0.15)


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    """Every figure of a card can be taken again."""
    one, two, other = (
        common.bootstrap_interval(lambda rows: float(rows.mean()), 50, seed) for seed in (1, 1, 2)
    )
    assert one == two != other


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs the extra 'train'")
def test_a_training_from_nothing_writes_a_bundle_that_serves(tmp_path: Path) -> None:
    """Made lines to bundle, without any dataset; BGL's figures are left out and said to be."""
    write("log-line", 3, tmp_path)
    program = (
        "import json, sys; from pathlib import Path; from models.training.log_line import train;"
        "here = Path(sys.argv[1]);"
        "report = lambda line: print(line, file=sys.stderr);"
        "print(json.dumps(train(data=here, made=here, output=here / 'log-line', seed=3, report=report)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    metrics = json.loads(done.stdout)
    bundle = load_bundle(tmp_path / "log-line")
    assert "BGL is left out" in done.stderr
    assert metrics["bgl"] == {}
    assert bundle.manifest.metrics == metrics
    assert metrics["unseen_templates"]["macro_f1"]["interval"][0] > 0.6
    (answer,) = LineClassifier(bundle).classify(["emergency stop pressed at station 3, line halted"])
    assert answer.label == "alert"

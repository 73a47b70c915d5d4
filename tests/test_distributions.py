"""Simulated vital signs beside real ones: what is compared, what is named, and that the page says it."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models.datasets import data_directory
from models.errors import UsageError
from simulators.artefacts import ARTEFACT_DESCRIPTIONS
from simulators.causes import CAUSES, EXPECTATIONS, SHIFTS
from simulators.compare import (
    BEGIN,
    END,
    Pair,
    department,
    differences,
    main,
    page,
    pairs,
    quiet_ward,
    renewed,
    triage_texts,
)
from simulators.compare_words import shared_words, words_table
from simulators.samples import SIGNS, Sample, quantile_table, sample, tie_table

PAGE = Path(__file__).parent.parent / "docs" / "simulators.md"
DATA = data_directory(os.environ)
NEEDS_DATA = pytest.mark.skipif(
    not all((DATA / name).is_dir() for name in ("ktas-triage", "physionet-icu-2012")),
    reason="the two datasets are not here",
)


@cache
def _pairs() -> list[Pair]:
    return pairs(DATA)


def _sample(name: str, **columns: list[float]) -> Sample:
    count = len(next(iter(columns.values())))
    return sample(name, ({field: columns[field][row] for field in columns} for row in range(count)))


def test_impossible_and_missing_values_are_left_out() -> None:
    """A saturation of 140, a missing one and a letter count as not measured; what is left is kept."""
    found = sample("x", [{"spo2": 140, "hr": 80}, {"spo2": None, "acvpu": "A"}, {"spo2": 97}])
    assert list(found.of("spo2")) == [97.0]
    assert list(found.of("hr")) == [80.0]


def test_quantiles_are_values_that_were_read() -> None:
    """Of 100 equal steps the quantiles are steps; of a few readings nothing is told."""
    found = _sample("x", hr=[float(value) for value in range(1, 101)]).quantiles("hr")
    assert found is not None
    assert list(found) == [5, 25, 50, 75, 95]
    assert _sample("x", hr=[80.0] * 10).quantiles("hr") is None


def test_a_difference_is_named_with_its_reason() -> None:
    """A higher median, a wider range and a closer tie each get a word, equal samples none."""
    ramp = [float(value) for value in range(100)]
    real = _sample(
        "real", hr=[60 + 0.2 * value for value in ramp], rr=[12 + (value - 49.5) ** 2 / 500 for value in ramp]
    )
    ours = _sample("ours", hr=[70 + 0.4 * value for value in ramp], rr=[12 + 0.06 * value for value in ramp])
    said = differences(Pair(ours, real, {"hr": "they rest"}))
    assert said[0] == (
        "The simulated heart rate is higher (median 90 against 70) and wider "
        "(5 to 95 % spans 36 against 18 /min): they rest."
    )
    assert said[1].startswith("`hr` and `rr` rise together more: +1.00 against ")
    assert len(said) == 2
    assert differences(Pair(real, real, {})) == []


def test_tables_have_a_row_for_each_sample() -> None:
    """Every vital sign of every sample is a row, and what is too rare is a dash."""
    one, other = (_sample(name, hr=[float(value) for value in range(60, 120)]) for name in ("one", "other"))
    rows = quantile_table([one, other]).splitlines()
    assert len(rows) == 2 + 2 * len(SIGNS)
    assert rows[2] == "| heart rate, /min | one | 60 | 62 | 74 | 89 | 104 | 116 |"
    assert rows[-1].endswith("| other | 0 | – | – | – | – | – |")
    assert tie_table([one]).splitlines()[-1] == "| one | – | – | – | – | – |"


def test_words_are_counted_as_often_as_they_are_written() -> None:
    """Half of the real words are ours too, two thirds of ours are theirs; a text without words is none."""
    assert shared_words(["chest pain", "rash"], ["Pain, chest", "knee ache", "???"]) == (0.5, 2 / 3)
    ours, theirs = words_table(["chest pain", "rash"], ["Pain, chest", "???"]).splitlines()[2:]
    assert ours == "| emergency department (simulated) | 2 | 1 | 1 | 1 | 2 | 2 | 0% | 0% | 100% |"
    assert theirs == "| triage (ktas-triage) | 1 | 2 | 2 | 2 | 2 | 2 | 100% | 100% | 100% |"


def test_only_the_marked_part_of_a_page_is_renewed() -> None:
    """What stands before and after the marks stays; a page without marks is refused."""
    assert renewed(f"a\n{BEGIN}old{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb"
    with pytest.raises(UsageError, match="no marks"):
        renewed("a page", "new")


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder, or with one that has no page, it ends with 2 and a sentence."""
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2
    assert "simulators.md can't be read" in capsys.readouterr().err


def test_missing_data_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the datasets the command ends with 3, names one, and leaves the page as it was."""
    (tmp_path / "simulators.md").write_text(f"{BEGIN}old{END}", "utf-8")
    monkeypatch.setenv("EDGEWARD_DATA", str(tmp_path / "nothing"))
    assert main([str(tmp_path)]) == 3
    assert "ktas-triage" in capsys.readouterr().err
    assert (tmp_path / "simulators.md").read_text("utf-8") == f"{BEGIN}old{END}"


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `score` brings it; without it nothing is written."""
    from simulators.compare_figure import draw

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="the extra `score`"):
        draw([], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """Drawn from simulated people alone, it is a PNG that a repository can hold."""
    pytest.importorskip("matplotlib")
    from simulators.compare_figure import draw

    draw([quiet_ward([1]), department([1])], tmp_path / "x.png")
    drawn = (tmp_path / "x.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < 200_000


def test_the_page_s_causes_are_those_of_the_code() -> None:
    """Each row of the table of causes has the shifts and the bands that the simulators use."""
    found = {cells[0]: cells[1:] for cells in _rows() if cells[0] in CAUSES}
    assert set(CAUSES) == set(found)
    for cause in CAUSES:
        shift, expected = SHIFTS[cause], EXPECTATIONS[cause]
        moved = (shift.hr, shift.rr, shift.spo2, shift.sbp, shift.dbp, shift.temp)
        assert [float(cell) for cell in found[cause][:6]] == list(moved)
        assert float(found[cause][6]) == shift.pressure_holds_until
        assert found[cause][7] == (", ".join(f"{letter} from {at:g}" for at, letter in shift.mind) or "–")
        assert found[cause][8:] == [f"{low}–{high}" for low, high in (expected.half, expected.full)]


def test_the_page_has_every_artefact() -> None:
    """The table of artefacts says what the code says of each."""
    found = {cells[0]: cells[1] for cells in _rows() if cells[0] in ARTEFACT_DESCRIPTIONS}
    assert found == ARTEFACT_DESCRIPTIONS


@NEEDS_DATA
def test_the_page_is_what_the_command_writes() -> None:
    """Tables and named differences in the page are those of the code and the data as they are now."""
    written = PAGE.read_text("utf-8")
    assert written == renewed(written, page(_pairs(), triage_texts(DATA), "figures/vitals.png"))
    assert (PAGE.parent / "figures" / "vitals.png").is_file()


@NEEDS_DATA
def test_the_quiet_ward_is_no_intensive_care() -> None:
    """Well patients lie inside the triage records' range, and calmer than intensive care's."""
    ward, triage, care = quiet_ward([1, 2]), *(pair.real for pair in _pairs()[:2])
    for field in ("hr", "sbp", "dbp", "temp"):
        ours, theirs = ward.quantiles(field), triage.quantiles(field)
        assert ours is not None
        assert theirs is not None
        assert theirs[0] <= ours[2] <= theirs[-1]
    for field in ("hr", "rr", "temp"):
        assert np.std(ward.of(field)) < np.std(care.of(field))


def _rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    ]

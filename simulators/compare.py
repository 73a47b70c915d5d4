"""Simulated vital signs beside real ones: quantiles, correlations, and the differences in words.

`python -m simulators.compare FOLDER` writes `FOLDER/figures/vitals.png` and renews the marked part of
`FOLDER/simulators.md`. The real ones are two datasets of the registry, found as everywhere else in the folder
that `EDGEWARD_DATA` names. The picture is drawn in `compare_figure.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.datasets import data_directory, rows
from models.errors import EdgewardError, UsageError
from simulators.compare_words import shared_words, words_table
from simulators.samples import SIGNS, TIES, Sample, quantile_table, sample, tie_table
from simulators.scenario import load_scenario
from simulators.world import World

WARD_SEEDS = range(10)
"""Each a quiet ward of 20 patients: 200 patients, as many beds as a hospital may have."""
DEPARTMENT_SEEDS = range(5)
"""Each half a day of a busy emergency department: some 3,000 notes."""
WIDER, NARROWER = 1.4, 0.7
"""A range from the 5 % to the 95 % quantile this many times as wide as the real one is named."""
TIED_APART = 0.2
"""A correlation that lies this far from the real one is named."""
BEGIN = "<!-- written by python -m simulators.compare: begin -->"
END = "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Pair:
    """A simulated sample and the real one that it is held against."""

    simulated: Sample
    real: Sample
    why: Mapping[str, str]
    """Why a vital sign differs, as far as we know, by field."""


def quiet_ward(seeds: Iterable[int] = WARD_SEEDS) -> Sample:
    """The vital signs of well patients: the scenario `quiet-ward`, once for each seed."""
    return sample("quiet ward (simulated)", _played("quiet-ward", "vitals", seeds))


def department(seeds: Iterable[int] = DEPARTMENT_SEEDS) -> Sample:
    """The vital signs on triage notes: the scenario `busy-emergency`, once for each seed."""
    notes = _played("busy-emergency", "note", seeds)
    return sample("emergency department (simulated)", (note["vitals"] for note in notes))


def triage_texts(directory: Path) -> tuple[list[str], list[str]]:
    """What simulated and real triage notes say. Raises `DataMissing`."""
    simulated = [note["text"] for note in _played("busy-emergency", "note", DEPARTMENT_SEEDS)]
    return simulated, [row.payload["text"] for row in rows("ktas-triage", directory)]


def _played(scenario: str, kind: str, seeds: Iterable[int]) -> Iterator[dict[str, Any]]:
    for seed in seeds:
        for message in World(*load_scenario(scenario), seed=seed).messages():
            if message.kind == kind:
                yield message.payload


def pairs(directory: Path) -> list[Pair]:
    """What is held against what. Raises `DataMissing`."""
    triage = list(rows("ktas-triage", directory))
    mild = [row for row in triage if row.truth["acuity"] in ("4", "5")]
    everybody = sample("triage, all (ktas-triage)", (row.payload["vitals"] for row in triage))
    not_urgent = sample("triage, acuity 4 and 5 (ktas-triage)", (row.payload["vitals"] for row in mild))
    care = (row.payload for row in rows("physionet-icu-2012", directory))
    intensive = sample("intensive care (physionet-icu-2012)", care)
    ward = quiet_ward()
    return [
        Pair(ward, not_urgent, WHY_TRIAGE),
        Pair(ward, intensive, WHY_INTENSIVE),
        Pair(department(), everybody, WHY_DEPARTMENT),
    ]


WHY_TRIAGE: dict[str, str] = {
    "hr": "people at the door have walked, are anxious or in pain; ours lie in bed",
    "rr": "at the door breaths are counted by eye and written down as 16, 18 or 20",
    "spo2": "our ward's patients are older and stay there for a reason; half of the records have none",
    "sbp": "untreated high pressure, excitement and pain at the door, written down in tens",
    "dbp": "untreated high pressure, excitement and pain at the door, written down in tens",
    "temp": "the records favour 36.0 and 36.5, and our well people have no low fever",
}
WHY_DEPARTMENT: Mapping[str, str] = WHY_TRIAGE | {
    "spo2": "ours fall with age and with every complaint of the lungs; half of the records have none",
    "temp": "ours come by day, when they are warmest; where the records were measured they don't say",
}
WHY_INTENSIVE: Mapping[str, str] = {
    "hr": "intensive care has the sicker patients, with fever, shock and drugs that drive the heart",
    "rr": "intensive care has failing lungs, and ventilators that set the rate",
    "spo2": "there it is the saturation of blood gases, taken from who breathes badly",
    "sbp": "shock, sedation and arterial lines in place of cuffs",
    "dbp": "shock, sedation and arterial lines, which read lower diastolic pressures than cuffs",
    "temp": "fever, and cooling after surgery and cardiac arrest; bladder and blood are warmer than the ear",
}
"""Reasons are our reading of how the data came about, not found in the data."""


WORDS = """The simulated notes know {ours:.0%} of the words of the real ones, and {theirs:.0%} of their own
words are among those (words count as often as they are written). They say more than real ones do, on
purpose: what is denied or was long ago is what a model must not fall for."""


def every_sample(compared: Sequence[Pair]) -> list[Sample]:
    """The samples of *compared*, each once, in order."""
    return list(dict.fromkeys(each for pair in compared for each in (pair.simulated, pair.real)))


def differences(pair: Pair) -> list[str]:
    """What differs enough for a word: medians, ranges and ties, each with its reason where we know one."""
    said = []
    for sign in SIGNS:
        simulated, real = pair.simulated.quantiles(sign.field), pair.real.quantiles(sign.field)
        if simulated is None or real is None:
            continue
        parts = []
        if abs(simulated[2] - real[2]) >= sign.notable:
            way = "higher" if simulated[2] > real[2] else "lower"
            medians = (f"{value:.{sign.decimals}f}" for value in (simulated[2], real[2]))
            parts.append(f"{way} (median {' against '.join(medians)})")
        wide, real_wide = (found[-1] - found[0] for found in (simulated, real))
        if not NARROWER * real_wide <= wide <= WIDER * real_wide:
            way = "wider" if wide > real_wide else "narrower"
            widths = (f"{value:.{sign.decimals}f}" for value in (wide, real_wide))
            parts.append(f"{way} (5 to 95 % spans {' against '.join(widths)} {sign.unit})")
        if parts:
            why = pair.why.get(sign.field, "why, we don't know")
            said.append(f"The simulated {sign.title} is {' and '.join(parts)}: {why}.")
    for one, other in TIES:
        tie, real_tie = pair.simulated.correlation(one, other), pair.real.correlation(one, other)
        if tie is not None and real_tie is not None and abs(tie - real_tie) >= TIED_APART:
            way = "more" if tie > real_tie else "less"
            said.append(f"`{one}` and `{other}` rise together {way}: {tie:+.2f} against {real_tie:+.2f}.")
    return said


def page(compared: Sequence[Pair], texts: tuple[list[str], list[str]], picture: str) -> str:
    """The marked part of the page: tables, *picture* (its path from the page) and differences.

    *texts* are simulated and real triage notes.
    """
    samples = every_sample(compared)
    ours, theirs = shared_words(*texts)
    parts = [
        quantile_table(samples),
        "How much the vital signs of one set move together (Pearson's correlation):",
        tie_table(samples),
        f"![Distributions of the vital signs, simulated and real]({picture})",
    ]
    for pair in compared:
        parts.append(f"**{pair.simulated.name} against {pair.real.name}.**")
        parts.append("\n".join(f"- {each}" for each in differences(pair)) or "Nothing differs enough.")
    parts += [
        "**Words of triage notes.**",
        words_table(*texts),
        WORDS.format(ours=ours, theirs=theirs),
    ]
    return "\n\n".join(parts)


def renewed(text: str, part: str) -> str:
    """*text* with *part* between its marks. Raises `UsageError` where there are no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"The page has no marks, {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def write(folder: Path, directory: Path) -> None:
    """Does what the module says. Raises `DataMissing`, and `UsageError` without page or matplotlib."""
    from simulators.compare_figure import draw  # matplotlib is only needed here

    file = folder / "simulators.md"
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}.") from error
    compared = pairs(directory)
    picture = Path("figures") / "vitals.png"
    (folder / picture).parent.mkdir(parents=True, exist_ok=True)
    draw(every_sample(compared), folder / picture)
    part = page(compared, triage_texts(directory), picture.as_posix())
    file.write_text(renewed(text, part), "utf-8")


def main(arguments: Sequence[str]) -> int:
    """The command; says in a sentence what is wrong, and its status."""
    if len(arguments) != 1:
        print("usage: python -m simulators.compare FOLDER (the one with simulators.md)", file=sys.stderr)
        return 2
    try:
        write(Path(arguments[0]), data_directory(os.environ))
    except EdgewardError as error:
        print(error, file=sys.stderr)
        return 3 if not isinstance(error, UsageError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

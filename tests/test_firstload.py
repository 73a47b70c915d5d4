"""A new model's first load, in a child process that may really crash, hang or eat memory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway import firstload
from gateway.firstload import FILE, KNOWN_LIMIT, admit
from models.bundle import load_bundle, write_bundle, zoo
from models.errors import ModelRefused
from tests.poisoned import __file__ as poisoned

ALERT = {"payload": {"line": "CRITICAL: RAID array degraded, disk 2 failed"}, "label": "alert"}


def made(folder: Path, cases: Sequence[Any] | None = None, source: str = "log-line", **said: Any) -> Path:
    """A shipped model as somebody's own bundle, with golden cases or without."""
    shipped = load_bundle(zoo() / source)
    files = dict(shipped.files)
    if cases is not None:
        files["golden.json"] = json.dumps({"format": 1, "cases": cases, **said}).encode()
    write_bundle(folder / "own", shipped.manifest.model_dump(exclude={"files", "seal"}), files)
    return folder / "own"


def known(state: Path) -> list[str]:
    listed: list[str] = json.loads((state / FILE).read_text())["models"]
    return listed


def passes(folder: Path) -> str:
    """What a trial says of a sound bundle, without the trial."""
    return firstload.identity_of(load_bundle(folder))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each trial."""
    trials: list[int] = []
    tried = firstload._tried

    def counting(folder: Path) -> str:
        trials.append(1)
        return tried(folder)

    monkeypatch.setattr(firstload, "_tried", counting)
    return trials


@pytest.fixture
def wishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In child processes a line of the log says what the model does, see `poisoned`."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "from nodes.agents import build\n"
        "from tests.poisoned import PoisonedAgent\n"
        "build._BY_KIND['log'] = PoisonedAgent\n"
    )
    paths = [str(tmp_path / "site"), str(Path(poisoned).parent.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.mark.parametrize("source", ["log-line", "triage-note", "deterioration", "sensor-anomaly"])
def test_a_sound_model_is_tried_once_and_remembered(tmp_path: Path, counted: list[int], source: str) -> None:
    own = made(tmp_path, source=source)
    admit(str(own), tmp_path)
    admit(str(own), tmp_path)
    assert len(counted) == 1
    assert len(known(tmp_path)) == 1
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_shipped_models_are_not_tried(tmp_path: Path, counted: list[int]) -> None:
    admit("log-line", tmp_path)
    assert counted == []


def test_golden_answers_that_are_met_let_it_in(tmp_path: Path) -> None:
    scores = {"normal": 0.0, "alert": 1.0}
    admit(str(made(tmp_path, [{**ALERT, "scores": scores}], tolerance=0.1)), tmp_path)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({**ALERT, "label": "normal"}, "case 1 of golden.json is answered alert, expected is normal"),
        (
            {**ALERT, "scores": {"alert": 0.5}},
            r"case 1 of golden.json has alert (1|0\.9\d*), expected is 0.5",
        ),
        ({**ALERT, "scores": {"risk": 0.5}}, "case 1 of golden.json has risk nan, expected is 0.5"),
        ({"payload": {}, "label": "alert"}, "case 1 of golden.json is answered None, expected is alert"),
        ({"label": "alert"}, "golden.json is not valid"),
    ],
)
def test_golden_answers_that_are_not_met_keep_it_out(tmp_path: Path, case: Any, sentence: str) -> None:
    with pytest.raises(ModelRefused, match=sentence):
        admit(str(made(tmp_path, [case])), tmp_path)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ("CRASH", "its trial was ended by SIGSEGV"),
        ("HANG", "its trial was not over in 2 s"),
        ("EAT", "it needs more than 1024 MiB"),
        ("RAISE", "it fails with RuntimeError"),
    ],
)
@pytest.mark.usefixtures("wishes")
def test_a_model_that_would_take_the_gateway_along_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, sentence: str
) -> None:
    monkeypatch.setattr(firstload, "SECONDS", 2)
    own = made(tmp_path, [{"payload": {"line": wish}, "label": "normal"}])
    with pytest.raises(ModelRefused, match=f"bundle {own} is refused: {sentence}"):
        admit(str(own), tmp_path)
    assert not (tmp_path / FILE).exists()


def test_a_bundle_that_is_exchanged_during_its_trial_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made(tmp_path)
    tried = firstload._tried

    def exchanged(folder: Path) -> str:
        made(tmp_path, [ALERT])
        return tried(folder)

    monkeypatch.setattr(firstload, "_tried", exchanged)
    with pytest.raises(ModelRefused, match="exchanged while it was tried"):
        admit(str(own), tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "models": []}'])
def test_a_damaged_memory_only_means_another_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    own = made(tmp_path)
    monkeypatch.setattr(firstload, "_tried", passes)
    (tmp_path / FILE).write_text(text)
    admit(str(own), tmp_path)
    assert len(known(tmp_path)) == 1


def test_another_runtime_means_another_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = made(tmp_path)
    monkeypatch.setattr(firstload, "_tried", passes)
    admit(str(own), tmp_path)
    monkeypatch.setattr(firstload, "_version", lambda name: f"{name} 99")
    admit(str(own), tmp_path)
    assert len(known(tmp_path)) == 2


def test_the_memory_has_a_bound_and_another_scaler_makes_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firstload, "_tried", passes)
    (tmp_path / FILE).write_text(json.dumps({"format": 1, "models": ["0" * 64] * KNOWN_LIMIT}))
    admit(str(made(tmp_path)), tmp_path)
    admit(str(made(tmp_path, [ALERT])), tmp_path)
    assert len(known(tmp_path)) == KNOWN_LIMIT
    assert len(set(known(tmp_path))) == 3

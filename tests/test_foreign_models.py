"""The adapter over models that other people made, each with known answers.

`EDGEWARD_FOREIGN_MODELS` is a folder of folders; where one holds an `EXPECTED.json`, its models are tested.
The answers there come from ai-edge-litert 2.3.0 and are met to 1e-5; another runtime has other kernels and is
allowed 16 steps of an int8 output or 0.01, with the same top label.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import wave
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import InputRefused
from models.runtime import TfliteModel, dequantised, open_model, quantised

EXPECTING = "ai-edge-litert"
"""The runtime that the expected answers come from."""
REFUSED_IN_SECONDS = 60
"""A child process that only refuses a model has long ended by then."""


@dataclass(frozen=True)
class Foreign:
    """One model of an `EXPECTED.json` and what stands there."""

    folder: Path
    expected: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / str(self.expected["file"])

    @property
    def runs(self) -> bool:
        return bool(self.expected["status"] == "runs")

    @property
    def cases(self) -> list[dict[str, Any]]:
        return list(self.expected.get("cases", []))

    def opened(self) -> TfliteModel:
        content = self.path.read_bytes()
        assert self.expected["sha256"] == hashlib.sha256(content).hexdigest()
        return open_model(content)


@cache
def _foreign() -> tuple[Foreign, ...]:
    root = os.environ.get("EDGEWARD_FOREIGN_MODELS")
    files = sorted(Path(root).glob("*/EXPECTED.json")) if root else []
    return tuple(
        Foreign(file.parent, model) for file in files for model in json.loads(file.read_text())["models"]
    )


def _each(chosen: list[Foreign]) -> pytest.MarkDecorator:
    """One test per model, or one skipped with the reason when there are none."""
    why = "EDGEWARD_FOREIGN_MODELS names no folder with models and their EXPECTED.json"
    none = [pytest.param(None, marks=pytest.mark.skip(reason=why), id="none")]
    return pytest.mark.parametrize("foreign", [pytest.param(f, id=f.path.stem) for f in chosen] or none)


RUNNING = [foreign for foreign in _foreign() if foreign.runs]
REFUSED = [foreign for foreign in _foreign() if not foreign.runs]


def _tolerance(model: TfliteModel, output: int = 0) -> float:
    if model.backend.startswith(EXPECTING):
        return 1e-5
    return 0.01 if model.outputs[output].dtype.kind == "f" else 16


def _zeros(model: TfliteModel) -> list[np.ndarray]:
    return [np.zeros(tensor.shape, tensor.dtype) for tensor in model.inputs]


def _noise(model: TfliteModel, seed: int, rows: int | None = None) -> list[np.ndarray]:
    """Inputs that the model can take: small whole numbers are ids in every vocabulary."""
    generator = np.random.default_rng(seed)
    shapes = [t.shape if rows is None else (rows, *t.shape[1:]) for t in model.inputs]
    return [
        generator.integers(0, 100, shape).astype(tensor.dtype)
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]


def _described(tensors: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [(t["name"], tuple(t["shape"]), t["dtype"], t["scale"], t["zero_point"]) for t in tensors]


@_each(RUNNING)
def test_tensors_are_those_of_the_file(foreign: Foreign) -> None:
    """Name, shape, dtype, scale and zero point of every input and output."""
    model = foreign.opened()
    for expected, found in (
        (foreign.expected["inputs"], model.inputs),
        (foreign.expected["outputs"], model.outputs),
    ):
        assert _described(expected) == [(t.name, t.shape, str(t.dtype), t.scale, t.zero_point) for t in found]


@_each(RUNNING)
def test_zero_input_gives_the_known_output(foreign: Foreign) -> None:
    """The first eight raw numbers of the first output; where none are known, every output is finite."""
    model = foreign.opened()
    outputs = model.invoke(*_zeros(model))
    assert [tuple(tensor["shape"]) for tensor in foreign.expected["outputs"]] == [o.shape for o in outputs]
    assert all(np.isfinite(output).all() for output in outputs)
    if (first := foreign.expected.get("zero_input_output_first8")) is not None:
        np.testing.assert_allclose(outputs[0].ravel()[:8], first, rtol=0, atol=_tolerance(model))


@_each(RUNNING)
def test_an_answer_does_not_depend_on_what_was_asked_before(foreign: Foreign) -> None:
    """A, B, then A again: the same as from a model just opened; state is reset in between."""
    model = foreign.opened()
    for seed in (1, 2, 1):
        fresh = foreign.opened()
        for left, right in zip(
            fresh.invoke(*_noise(fresh, seed)), model.invoke(*_noise(model, seed)), strict=True
        ):
            np.testing.assert_array_equal(left, right)


@_each([foreign for foreign in RUNNING if all(t["shape"][0] == 1 for t in foreign.expected["inputs"])])
def test_a_batch_answers_as_its_rows_do_alone(foreign: Foreign) -> None:
    """Three rows together, twice, and two rows: to the last bit what each row gives by itself."""
    model, alone = foreign.opened(), foreign.opened()
    for seed, rows in ((1, 3), (2, 3), (3, 2)):
        batch = _noise(model, seed, rows)
        together = model.invoke(*batch)
        for row in range(rows):
            for left, right in zip(alone.invoke(*(b[row : row + 1] for b in batch)), together, strict=True):
                np.testing.assert_array_equal(left[0], right[row])


@_each(REFUSED)
def test_what_can_not_run_is_refused_in_a_sentence(foreign: Foreign) -> None:
    """ModelRefused, in a child process, since the older runtime dies of some files; the child ends well."""
    program = (
        "import pathlib, sys\n"
        "from models.errors import ModelRefused\n"
        "from models.runtime import open_model\n"
        "try:\n"
        "    open_model(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "except ModelRefused as refusal:\n"
        "    print(refusal)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(foreign.path)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=REFUSED_IN_SECONDS,
    )
    assert child.returncode == 0
    assert child.stderr == ""
    custom = re.search(r"custom op: (\w+)", foreign.expected["error"])
    reason = (
        custom.group(1)
        if custom
        else "Flex"
        if "Flex" in foreign.expected["error"]
        else "quantized_dimension"
    )
    assert re.fullmatch(rf"[^\n]*\b{reason}\b[^\n]*\n", child.stdout)


# Cases: an input with a known answer, of one of five kinds.


def _packed(foreign: Foreign, name: str) -> list[str]:
    """Lines of a file that is packed behind the model, as TFLite metadata does, or lies beside it."""
    if name in foreign.expected.get("packed_files", ()):
        with zipfile.ZipFile(foreign.path) as archive:
            content = archive.read(name)
    else:
        content = (foreign.folder / name).read_bytes()
    # Not splitlines: a vocabulary holds words such as U+0085.
    return content.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def _token_ids(foreign: Foreign, text: str, model: TfliteModel) -> np.ndarray:
    """The regex tokenizer that these models were trained with, as EXPECTED.json describes it."""
    vocabulary = dict(line.rsplit(" ", 1) for line in _packed(foreign, "vocab.txt"))
    words = [word for word in re.split(r"[^\w']+", text) if word]
    tokens = ["<START>", *(word if word in vocabulary else "<UNKNOWN>" for word in words)]
    length = model.inputs[0].shape[1]
    return np.array([[int(vocabulary[t]) for t in (tokens + ["<PAD>"] * length)[:length]]], np.int32)


def _sound(path: Path, samples: int) -> np.ndarray:
    with wave.open(str(path)) as sound:
        return (np.frombuffer(sound.readframes(samples), "<i2") / 32768).astype(np.float32)


def _kind(case: dict[str, Any]) -> str:
    if "text" in case:
        return "text"
    if case.get("expected") == "sin(x)":
        return "sine"
    return _input(case).suffix


def _input(case: dict[str, Any]) -> Path:
    """The file of a case: `inputs/speech.wav, first 15600 samples…` names it before the comma."""
    return Path(case["input"].split(",")[0])


def _with(kind: str) -> list[Foreign]:
    return [foreign for foreign in RUNNING if any(_kind(case) == kind for case in foreign.cases)]


@_each(_with("text"))
def test_texts_get_their_published_scores(foreign: Foreign) -> None:
    """Tokenised with the vocabulary packed in the file; scores to the tolerance, and the same top label."""
    model = foreign.opened()
    for case in foreign.cases:
        (scores,) = model.invoke(_token_ids(foreign, case["text"], model))
        expected = np.array(case["expected" if "expected" in case else "measured_here"])
        np.testing.assert_allclose(scores[0], expected, rtol=0, atol=_tolerance(model))
        assert np.argmax(expected) == np.argmax(scores)


@_each(_with("text"))
def test_a_word_id_beyond_the_vocabulary_is_refused_alone(foreign: Foreign) -> None:
    """The input is refused and the next one answered."""
    model = foreign.opened()
    before = model.invoke(*_zeros(model))
    with pytest.raises(InputRefused):
        model.invoke(np.full(model.inputs[0].shape, 10_000_000, np.int32))
    np.testing.assert_array_equal(before, model.invoke(*_zeros(model)))


@_each(_with(".png"))
def test_all_digits_are_read_one_after_another(foreign: Foreign) -> None:
    """A model that keeps state, one interpreter: each digit has its label, one by one and as one batch."""
    model = foreign.opened()
    images = [np.asarray(Image.open(foreign.folder / _input(case)), np.float32) for case in foreign.cases]
    digits = quantised(np.stack(images) / 255, model.inputs[0])
    labels = [case["label"] for case in foreign.cases]
    assert labels == [int(np.argmax(model.invoke(digit[np.newaxis])[0])) for digit in digits]
    assert labels == list(np.argmax(model.invoke(digits)[0], axis=1))


@_each(_with(".npy"))
def test_spoken_words_are_recognised(foreign: Foreign) -> None:
    """Features to raw scores within the tolerance, and the same word."""
    model = foreign.opened()
    for case in foreign.cases:
        (scores,) = model.invoke(np.load(foreign.folder / _input(case)))
        np.testing.assert_allclose(scores[0].astype(int), case["raw_output"], rtol=0, atol=_tolerance(model))
        assert case["label"] == case["labels"][int(np.argmax(scores))]


@_each(_with(".wav"))
def test_sounds_get_their_label_from_the_list_in_the_file(foreign: Foreign) -> None:
    """The waveform's three best labels with their scores."""
    model = foreign.opened()
    labels = _packed(foreign, "yamnet_label_list.txt")
    for case in foreign.cases:
        samples = model.inputs[0].shape[0]
        (scores,) = model.invoke(_sound(foreign.folder / _input(case), samples))
        assert case["label"] == labels[int(np.argmax(scores))]
        for label, score in case["top3_here"]:
            assert scores[0, labels.index(label)] == pytest.approx(score, abs=_tolerance(model))


@_each(_with("sine"))
def test_sine_is_as_close_as_measured(foreign: Foreign) -> None:
    """200 points of one period; the largest error is the known one, given to four digits."""
    model = foreign.opened()
    x = np.linspace(0, 2 * np.pi, 200, dtype=np.float32)[:, np.newaxis]
    answers = dequantised(model.invoke(quantised(x, model.inputs[0]))[0], model.outputs[0])
    # A tolerance in steps is one in real values through the output's scale.
    allowed = _tolerance(model) * (model.outputs[0].scale or 1.0) + 0.5e-4
    known = foreign.cases[0]["max_abs_error_measured_here"]
    assert float(np.abs(answers - np.sin(x)).max()) == pytest.approx(known, abs=allowed)


def test_no_case_is_left_out() -> None:
    """Every case of every EXPECTED.json belongs to one of the tests above."""
    tested = {foreign.path for kind in ("text", ".png", ".npy", ".wav", "sine") for foreign in _with(kind)}
    assert {foreign.path for foreign in RUNNING if foreign.cases} == tested
    assert all(foreign.runs or foreign.expected.get("error") for foreign in _foreign())

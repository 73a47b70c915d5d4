"""The adapter over the TFLite runtimes. `EDGEWARD_RUNTIME` chooses which; the facts are the same for both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputRefused, ModelRefused, RuntimeMissing
from models.runtime import RUNTIMES, Tensor, dequantised, open_model, quantised
from tests.tiny_models import custom_model, echo_model, lookup_model, mixing_model

TABLE = np.arange(8, dtype=np.float32).reshape(4, 2)


def ids(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(rows, np.int32)


def tensor(dtype: str, scale: float, zero_point: int) -> Tensor:
    return Tensor("made", (1, 4), np.dtype(dtype), scale, zero_point)


def test_model_says_what_it_takes_and_gives_and_what_runs_it() -> None:
    """Tensors carry name, shape and dtype of the file; the backend has its version."""
    model = open_model(lookup_model(TABLE))
    assert (Tensor("ids", (1, 3), np.dtype(np.int32), 0.0, 0),) == model.inputs
    assert (Tensor("rows", (1, 3, 2), np.dtype(np.float32), 0.0, 0),) == model.outputs
    name, version = model.backend.split(" ")
    assert name in RUNTIMES
    assert version[0].isdigit()


def test_batches_of_changing_size_answer_each_row_as_if_alone() -> None:
    """One row, then many, then another number, then one again: the same answers as the table's."""
    model = open_model(lookup_model(TABLE))
    generator = np.random.default_rng(7)
    for rows in (1, 5, 2, 2, 1, 9):
        batch = generator.integers(0, 4, (rows, 3)).astype(np.int32)
        np.testing.assert_array_equal(TABLE[batch], model.invoke(batch)[0])


def test_a_batch_of_no_rows_has_no_answers() -> None:
    """Zero rows in, zero rows out, of the output's shape and dtype."""
    (rows,) = open_model(lookup_model(TABLE)).invoke(np.empty((0, 3), np.int32))
    assert rows.shape == (0, 3, 2)
    assert rows.dtype == np.float32


def test_rows_that_would_influence_each_other_go_one_by_one() -> None:
    """A model that reverses its rows gives every row its own answer, at every batch size."""
    model = open_model(mixing_model())
    for rows in (3, 2, 4, 1):
        values = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
        np.testing.assert_array_equal(values, model.invoke(values)[0])


def test_strings_go_in_and_come_out_as_bytes() -> None:
    """A string tensor takes bytes, any bytes, and several rows."""
    model = open_model(echo_model())
    texts = [b"", "Prüfung".encode(), b"\xff\x00\xfe"]
    (answers,) = model.invoke(np.array(texts, object))
    assert texts == list(answers)
    assert list(model.invoke(np.array([b"one"]))[0]) == [b"one"]


@pytest.mark.parametrize("rows", [1, 3])
def test_an_id_beyond_the_table_is_refused_and_the_model_goes_on(rows: int) -> None:
    """What the runtime can't compute is InputRefused, without the value; the next input is answered."""
    model = open_model(lookup_model(TABLE))
    good = ids(*[(0, 1, 2)] * rows)
    model.invoke(good)
    bad = good.copy()
    bad[-1, 1] = 918_273
    with pytest.raises(InputRefused) as refusal:
        model.invoke(bad)
    assert "918273" not in str(refusal.value)
    np.testing.assert_array_equal(TABLE[good], model.invoke(good)[0])


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (ids((0, 1, 2)), ids((0, 1, 2))),
        (ids((0, 1, 2)).astype(np.int64),),
        (np.zeros((1, 4), np.int32),),
        (np.zeros(3, np.int32),),
    ],
    ids=["none", "two", "int64", "four wide", "flat"],
)
def test_inputs_that_do_not_suit_the_model_are_refused(inputs: tuple[np.ndarray, ...]) -> None:
    """Number, dtype and shape are checked before the runtime sees them."""
    with pytest.raises(ModelRefused, match="given"):
        open_model(lookup_model(TABLE)).invoke(*inputs)


def test_a_model_with_an_unknown_operation_is_refused_when_opened() -> None:
    """The refusal names the operation and the runtime."""
    with pytest.raises(ModelRefused, match=r"needs the custom operation NoSuchOp, which \S+ [\d.]+ does not"):
        open_model(custom_model("NoSuchOp"))


@given(st.binary(max_size=200))
def test_what_is_no_tflite_file_is_refused(content: bytes) -> None:
    """Without the file identifier the bytes never reach a runtime."""
    if content[4:8] != b"TFL3":
        with pytest.raises(ModelRefused, match="not a TFLite model"):
            open_model(content)


def test_an_unknown_runtime_is_refused_with_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment as from the argument."""
    monkeypatch.setenv("EDGEWARD_RUNTIME", "onnx")
    with pytest.raises(RuntimeMissing, match="'onnx'; it can be ai-edge-litert or tflite-runtime"):
        open_model(lookup_model(TABLE))


def test_a_runtime_that_can_not_be_used_is_said_with_the_reason() -> None:
    """One of the two is not installed beside the other, or not with this numpy."""
    here = open_model(lookup_model(TABLE)).backend.split(" ")[0]
    other = next(name for name in RUNTIMES if name != here)
    with pytest.raises(
        RuntimeMissing, match=f"no TFLite runtime is usable: {other} (needs numpy 1|can't be)"
    ):
        open_model(lookup_model(TABLE), runtime=other)


def test_standard_error_keeps_everything_but_the_delegate_notice(tmp_path: Path) -> None:
    """What a process writes to descriptor 2 while a model opens arrives; the runtime's notice does not."""
    (tmp_path / "lookup.tflite").write_bytes(lookup_model(TABLE))
    program = (
        "import os, pathlib, sys\n"
        "from models.native_stderr import without_delegate_notice\n"
        "from models.runtime import open_model\n"
        "with without_delegate_notice():\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\nheld, not lost\\n')\n"
        "open_model(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "os.write(2, b'after\\n')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "lookup.tflite")],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=True,
        text=True,
    )
    assert ran.stderr == "held, not lost\nafter\n"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@given(raw=st.lists(st.integers(-128, 127), min_size=4, max_size=4), scale=st.floats(1e-4, 100.0))
def test_quantising_inverts_dequantising(dtype: str, raw: list[int], scale: float) -> None:
    """Every raw value comes back from its real value."""
    offset = 128 if dtype == "uint8" else 0
    made = tensor(dtype, scale, 3)
    values = (np.array([raw]) + offset).astype(dtype)
    np.testing.assert_array_equal(values, quantised(dequantised(values, made), made))


def test_quantising_saturates_and_rounds_halves_away_from_zero() -> None:
    """Beyond the type's range its end; 0.5 steps as TFLite's QUANTIZE rounds them."""
    made = tensor("int8", 0.5, 0)
    values = np.array([[1e9, -1e9, 0.25, -0.25]], np.float32)
    np.testing.assert_array_equal([[127, -128, 1, -1]], quantised(values, made))


def test_tensors_without_a_scale_are_cast() -> None:
    """Floats stay floats and ids stay ids."""
    assert quantised(np.array([1.5]), tensor("float32", 0.0, 0)).dtype == np.float32
    np.testing.assert_array_equal([2], quantised(np.array([2.0]), tensor("int32", 0.0, 0)))
    np.testing.assert_array_equal([2.0], dequantised(np.array([2], np.int8), tensor("int8", 0.0, 0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_has_no_raw_form(value: float) -> None:
    """An integer tensor can't carry it, so the input is refused."""
    with pytest.raises(InputRefused, match="not a finite number"):
        quantised(np.array([value]), tensor("int8", 0.1, 0))

"""Bundles: what is written loads again, and whatever is missing, damaged, unexpected or unsaid is refused."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import bundle as bundles
from models.bundle import find_bundle, load_bundle, shipped, write_bundle, zoo
from models.errors import ModelRefused
from models.runtime import open_model
from tests.tiny_models import lookup_model

MODEL = lookup_model(np.arange(8, dtype=np.float32).reshape(4, 2))
FILES: Mapping[str, bytes] = {"model.tflite": MODEL, "card.md": b"# A model\n", "words.txt": b"one\ntwo\n"}
SAID: Mapping[str, Any] = {
    "format": 1,
    "name": "made",
    "version": "1",
    "task": "look up",
    "description": "Rows of a table, für den Test.",
    "kind": "log",
    "input": {"ids": "three row numbers"},
    "output": {"rows": "the rows"},
    "labels": ["normal", "alert"],
    "thresholds": {"alert": 0.5},
    "licence": "Apache-2.0",
    "training_data": [{"name": "made", "origin": "here", "licence": "Apache-2.0"}],
    "metrics": {"accuracy": 1.0, "confusion": [[1, 0], [0, 1]]},
    "trained_with": {"command": "none", "seed": "1"},
}


def edited(folder: Path, **changes: object) -> None:
    """Writes the manifest as a person would: changed, laid out differently, without a seal. None removes."""
    path = folder / "manifest.json"
    fields = json.loads(path.read_text(encoding="utf-8")) | {"seal": None} | changes
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "made", SAID, FILES)
    return tmp_path / "made"


def test_a_bundle_says_what_was_written_and_its_model_opens(folder: Path) -> None:
    """Name, version, the model's hash, the files' bytes; the manifest is not among the files."""
    loaded = load_bundle(folder)
    assert (loaded.name, loaded.version) == ("made", "1")
    assert loaded.sha256 == loaded.manifest.files["model.tflite"]
    assert dict(loaded.files) == FILES
    assert loaded.manifest.labels == ("normal", "alert")
    assert open_model(loaded.files["model.tflite"]).inputs[0].name == "ids"


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda n: n != "manifest.json"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=100), max_size=4),
    metrics=st.dictionaries(st.text(), JSON, max_size=3),
    thresholds=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    description=st.text(min_size=1),
)
def test_loading_is_the_inverse_of_writing(
    files: dict[str, bytes], metrics: dict[str, Any], thresholds: dict[str, float], description: str
) -> None:
    """Whatever the files and the manifest's free fields hold; and the same again gives the same bytes."""
    said = {**SAID, "metrics": metrics, "thresholds": thresholds, "description": description}
    contents = {**files, "model.tflite": MODEL, "card.md": b"# card"}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "made"
        written = write_bundle(folder, said, contents)
        manifest = (folder / "manifest.json").read_bytes()
        assert load_bundle(folder) == written
        assert dict(written.files) == contents
        assert (written.manifest.metrics, written.manifest.thresholds) == (metrics, thresholds)
        write_bundle(folder, said, contents)
        assert (folder / "manifest.json").read_bytes() == manifest
        assert [entry.name for entry in Path(parent).iterdir()] == ["made"]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """In the model, in the card and in the manifest; cut short or lengthened as well."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "made"
        write_bundle(folder, SAID, FILES)
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content)))
        if place == len(content):
            content += data.draw(st.binary(min_size=1, max_size=4))
        elif data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            del content[place:]
        path.write_bytes(content)
        with pytest.raises(ModelRefused, match=rf"{path.name} "):
            load_bundle(folder)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_no_manifest_makes_loading_fail_in_another_way(content: bytes) -> None:
    """Random bytes and random JSON as a manifest: ModelRefused, nothing else."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        (folder / "manifest.json").write_bytes(content)
        with pytest.raises(ModelRefused, match=r"manifest\.json is not"):
            load_bundle(folder)


def test_a_manifest_written_by_hand_needs_no_seal(folder: Path) -> None:
    """Laid out in its own way, with its own version; the files' hashes still count."""
    edited(folder, version="2", description="By hand.")
    assert load_bundle(folder).version == "2"


def test_an_edited_manifest_does_not_pass_under_its_old_seal(folder: Path) -> None:
    """A changed threshold is found even where the manifest stays valid."""
    path = folder / "manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"alert": 0.5', '"alert": 0.9'), encoding="utf-8"
    )
    with pytest.raises(ModelRefused, match="does not match its seal"):
        load_bundle(folder)


def test_all_faults_are_named_at_once(folder: Path) -> None:
    """Missing, damaged and unlisted files in one sentence that names the folder."""
    (folder / "card.md").unlink()
    (folder / "words.txt").write_bytes(b"three\n")
    (folder / "notes.txt").write_bytes(b"")
    with pytest.raises(ModelRefused) as refusal:
        load_bundle(folder)
    message = str(refusal.value)
    assert "\n" not in message
    for part in (str(folder), "card.md is missing", "words.txt is damaged", "notes.txt is not listed"):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["alert", "alert"]}, "labels: a label stands twice"),
        ({"labels": None}, "labels"),
        ({"format": 2}, "format"),
        ({"kind": "picture"}, "kind"),
        ({"name": "../made"}, "name"),
        ({"colour": "blue"}, "colour"),
        ({"licence": ""}, "licence"),
        ({"files": {"model.tflite": "0" * 64}}, "files: card.md must be listed"),
        ({"files": {"model.tflite": "0" * 64, "card.md": "0" * 64, "../x": "0" * 64}}, "files"),
        ({"files": {"model.tflite": "0" * 64, "card.md": "0" * 64, "manifest.json": "0" * 64}}, "itself"),
        ({"thresholds": {"alert": "high"}}, "thresholds.alert"),
    ],
)
def test_a_manifest_that_says_too_little_or_too_much_is_refused(
    folder: Path, changes: dict[str, object], reason: str
) -> None:
    """The refusal names the field."""
    edited(folder, **changes)
    with pytest.raises(ModelRefused, match=rf"manifest\.json is not valid: .*{reason}"):
        load_bundle(folder)


def test_a_number_that_json_does_not_have_is_refused(folder: Path) -> None:
    """1e999 reads as infinity, wherever it stands."""
    path = folder / "manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"accuracy": 1.0', '"accuracy": 1e999'), encoding="utf-8"
    )
    with pytest.raises(ModelRefused, match="finite numbers"):
        load_bundle(folder)


def test_a_file_beyond_the_size_limit_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read further than the limit."""
    monkeypatch.setattr(bundles, "FILE_LIMIT", 12)
    with pytest.raises(ModelRefused, match=r"model\.tflite is larger than 12 bytes"):
        load_bundle(folder)


def test_what_is_no_regular_file_is_not_opened(folder: Path) -> None:
    """A pipe in a file's place would otherwise hold the reader for ever."""
    (folder / "card.md").unlink()
    os.mkfifo(folder / "card.md")
    with pytest.raises(ModelRefused, match=r"card\.md is not a regular file"):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As is one without a manifest, and a file in a folder's place."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "nowhere", tmp_path, tmp_path / "file"):
        with pytest.raises(ModelRefused, match=r"is refused: "):
            load_bundle(folder)


def test_a_bundle_is_replaced_whole_and_only_by_a_valid_one(folder: Path) -> None:
    """Files of the old one are gone; a refused new one leaves the old as it was."""
    write_bundle(folder, {**SAID, "version": "2"}, {"model.tflite": MODEL, "card.md": b"new"})
    assert sorted(entry.name for entry in folder.iterdir()) == ["card.md", "manifest.json", "model.tflite"]
    for said, files in (
        ({**SAID, "labels": []}, FILES),
        ({**SAID, "metrics": {"loss": float("nan")}}, FILES),
        ({**SAID, "metrics": {"loss": object()}}, FILES),
        (SAID, {"model.tflite": MODEL}),
        (SAID, {**FILES, "../escape": b""}),
    ):
        with pytest.raises(ModelRefused, match="can't be written"):
            write_bundle(folder, said, files)
    assert load_bundle(folder).version == "2"
    assert [entry.name for entry in folder.parent.iterdir()] == ["made"]


def test_every_shipped_bundle_loads_opens_and_carries_its_folders_name() -> None:
    """Found by name, whole, and runnable by the runtime that is here."""
    for name in shipped():
        loaded = load_bundle(find_bundle(name))
        assert loaded.name == name
        assert open_model(loaded.files["model.tflite"]).inputs


def test_bundles_are_found_by_shipped_name_or_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is itself, relative ones too; what is neither is refused with the names there are."""
    assert find_bundle(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert find_bundle("made") == Path("made")
    for name in shipped():
        assert find_bundle(name) == zoo() / name
    for missing in ("nothing-like-it", ""):
        with pytest.raises(ModelRefused, match="shipped are"):
            find_bundle(missing)

"""A model's bundle: the folder it travels in, what its manifest says, and the check of every byte of it.

A bundle is `manifest.json` and the files it lists: `model.tflite`, `card.md`, a vocabulary or scaler. Files
are read once; the bytes that were hashed are the bytes that are used. Nothing here opens a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from models.errors import ModelRefused

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.tflite"
CARD: Final = "card.md"

MANIFEST_LIMIT: Final = 1 << 20
"""Bytes in a manifest; those shipped have a few thousand."""
FILE_LIMIT: Final = 64 << 20
"""Bytes in one file; the largest model tried on an edge box so far has 4 MB."""
FILES_LIMIT: Final = 32
"""Files in a bundle, the manifest not counted."""
_FAULTS_LIMIT: Final = 8
"""Faults that one refusal names."""

_Text = Annotated[str, StringConstraints(min_length=1)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class TrainingData(BaseModel):
    """One source that a model learnt from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Text
    origin: _Text
    licence: _Text


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,31}$")]
    task: _Text
    description: _Text
    kind: Literal["note", "vitals", "sensor", "log"]
    input: dict[str, Any]
    """What the model's input tensors mean, and how they are made from a message."""
    output: dict[str, Any]
    """What its output tensors mean."""
    labels: Annotated[tuple[_Text, ...], Field(min_length=1)]
    thresholds: dict[str, _Finite]
    files: dict[_FileName, _Sha256]
    """File name to the sha256 of its content, every file of the bundle but the manifest."""
    licence: _Text
    training_data: tuple[TrainingData, ...]
    metrics: dict[str, Any]
    trained_with: dict[str, str]
    """The command, the seed and the versions of the libraries."""
    seal: _Sha256 | None = None
    """sha256 of this manifest without its seal, in the form that `write_bundle` writes; optional in one
    written by hand. It finds damage, as the other hashes do; it is no signature."""

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("a label stands twice")
        return labels

    @field_validator("files")
    @classmethod
    def _files_are_complete(cls, files: dict[str, str]) -> dict[str, str]:
        if missing := [name for name in (MODEL, CARD) if name not in files]:
            raise ValueError(f"{' and '.join(missing)} must be listed")
        if MANIFEST in files:
            raise ValueError("the manifest can't list itself")
        if len(files) > FILES_LIMIT:
            raise ValueError(f"more than {FILES_LIMIT} files are listed")
        return files


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check, held in memory."""

    manifest: Manifest
    files: Mapping[str, bytes]
    """Name to content: the very bytes that were hashed."""

    @property
    def name(self) -> str:
        """The model's name, as published."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The model's version, as published."""
        return self.manifest.version

    @property
    def sha256(self) -> str:
        """What identifies the model: the hash of `model.tflite`."""
        return self.manifest.files[MODEL]


def load_bundle(folder: Path) -> Bundle:
    """The bundle in *folder*, after all its files were found complete, undamaged and expected.

    Raises ModelRefused, one sentence that names the folder and every fault (the first eight).
    """
    try:
        manifest = _manifest(_read(folder / MANIFEST, MANIFEST_LIMIT))
        faults, files = [], {}
        for name, expected in sorted(manifest.files.items()):
            try:
                files[name] = _read(folder / name, FILE_LIMIT)
            except _Fault as fault:
                faults.append(str(fault))
                continue
            if hashlib.sha256(files[name]).hexdigest() != expected:
                faults.append(f"{name} is damaged or was exchanged: its sha256 is not the one in {MANIFEST}")
        present = {entry.name for entry in folder.iterdir()}
        extra = sorted(present - manifest.files.keys() - {MANIFEST})
        faults.extend(f"{name} is not listed in {MANIFEST}" for name in extra)
    except _Fault as fault:
        raise ModelRefused(f"bundle {folder} is refused: {fault}") from fault
    except OSError as exc:
        raise ModelRefused(f"bundle {folder} is refused: it can't be read ({exc.strerror})") from exc
    if faults:
        more = f"; and {len(faults) - _FAULTS_LIMIT} more" if len(faults) > _FAULTS_LIMIT else ""
        raise ModelRefused(f"bundle {folder} is refused: {'; '.join(faults[:_FAULTS_LIMIT])}{more}")
    return Bundle(manifest, MappingProxyType(files))


def write_bundle(
    folder: Path, manifest_without_files: Mapping[str, Any], files: Mapping[str, bytes]
) -> Bundle:
    """Writes a bundle to *folder*, in place of the one that is there, and loads it back.

    *manifest_without_files* holds the manifest's fields but `files` and `seal`, which are computed. The same
    arguments give the same bytes. Written beside and renamed: a reader meets the old bundle, the new one or,
    for an instant, none; never a mixture. Raises ModelRefused when the bundle would not load.
    """
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    try:
        # Through JSON first, so that what is validated and sealed is what a reader will find.
        said = json.loads(json.dumps(dict(manifest_without_files), allow_nan=False))
        manifest = Manifest.model_validate({**said, "files": listed, "seal": None})
        text = _sealed(manifest)
    except ValidationError as exc:
        raise ModelRefused(f"bundle {folder} can't be written: {_sentence(exc)}") from exc
    except (TypeError, ValueError) as exc:
        raise ModelRefused(f"bundle {folder} can't be written: its manifest is not JSON ({exc})") from exc
    try:
        _replace(folder.resolve(), {**files, MANIFEST: text})
    except OSError as exc:
        raise ModelRefused(f"bundle {folder} can't be written ({exc.strerror})") from exc
    return load_bundle(folder)


def zoo() -> Path:
    """The folder of the bundles that are shipped with Edgeward."""
    return Path(__file__).parent / "zoo"


def shipped() -> list[str]:
    """The names of the shipped bundles, sorted."""
    return sorted(manifest.parent.name for manifest in zoo().glob(f"[!.]*/{MANIFEST}"))


def find_bundle(name_or_folder: str) -> Path:
    """The folder of a shipped bundle by its name, else *name_or_folder* itself as a folder's path.

    A local folder with a shipped name is reached as `./name`. Raises ModelRefused when there is neither.
    """
    if name_or_folder in shipped():
        return zoo() / name_or_folder
    folder = Path(name_or_folder)
    if name_or_folder and folder.is_dir():
        return folder
    raise ModelRefused(
        f"there is no bundle {name_or_folder!r}: "
        f"it is no folder, and shipped are {', '.join(shipped()) or 'none'}"
    )


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Puts a folder with *contents* in *folder*'s place, once it has proved to load."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.parent / f".{folder.name}.new-{os.getpid()}"
    old = folder.parent / f".{folder.name}.old-{os.getpid()}"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    try:
        for name, content in contents.items():
            (fresh / name).write_bytes(content)
        load_bundle(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


class _Fault(Exception):
    """One thing that is wrong with a bundle, as a clause; never leaves this module."""


def _read(path: Path, limit: int) -> bytes:
    # Not opened unless regular: a FIFO in the folder would hold the gateway's start for ever.
    if not path.exists():
        raise _Fault(f"{path.name} is missing")
    if not path.is_file():
        raise _Fault(f"{path.name} is not a regular file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _Fault(f"{path.name} is larger than {limit} bytes")
    return content


def _manifest(content: bytes) -> Manifest:
    try:
        fields = json.loads(content)
        manifest = Manifest.model_validate(fields)
        canonical = _sealed(manifest)
    except ValidationError as exc:
        raise _Fault(f"{MANIFEST} is not valid: {_sentence(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise _Fault(f"{MANIFEST} is not a JSON document with finite numbers") from exc
    if manifest.seal is not None and content != canonical:
        raise _Fault(f"{MANIFEST} is damaged or was edited: it does not match its seal")
    return manifest


def _sealed(manifest: Manifest) -> bytes:
    """*manifest* as its file's bytes, with the right seal; the same fields always give the same bytes."""
    bare = manifest.model_dump(exclude={"seal"})  # not mode="json", which turns NaN into null
    return _canonical({**bare, "seal": hashlib.sha256(_canonical(bare)).hexdigest()})


def _canonical(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, allow_nan=False, ensure_ascii=False, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def _sentence(exc: ValidationError) -> str:
    """What pydantic found, one clause per fault."""
    faults = exc.errors(include_url=False, include_input=False)
    clauses = [
        f"{'.'.join(map(str, fault['loc'])) or 'it'}: {re.sub(r'^Value error, ', '', fault['msg'])}"
        for fault in faults[:_FAULTS_LIMIT]
    ]
    return "; ".join(clauses)

"""Wandb: `run-ID.wandb` of Weights & Biases, the file that an offline run leaves.

Blocks of 32 KiB hold records in pieces, as LevelDB's log has them; a record is a message of which the history is read.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import number_in
from trimtab.findings.logs.log import Log, frame_of_rows
from trimtab.findings.logs.protobuf import bytes_in, fields, text_in

FORM = "a Weights & Biases run"
PATTERN = "*.wandb"
_MARK = b":W&B"
_HEADER, _PIECE_HEADER, _BLOCK = 7, 7, 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Fields of the messages Record, RunRecord and HistoryRecord.
_HISTORY, _RUN, _CONFIG = 2, 17, 4
_KNOBS = {
    "lr": "lr",
    "learning_rate": "lr",
    "batch_size": "batch_size",
    "epochs": "epochs",
    "weight_decay": "weight_decay",
}


def read(content: Content) -> list[Log] | None:
    """The history of the run; None where the content is something else."""
    if not content.data.startswith(_MARK):
        return None
    rows, config = _told(content.data)
    knobs = {_KNOBS[name]: value for name, value in config.items() if name in _KNOBS and number_in(value) is not None}
    return [Log(FORM, frame_of_rows(rows), run=_run(content.path), known={"knobs": knobs} if knobs else {})]


def _run(path: Path | None) -> str:
    return "" if path is None else path.stem.removeprefix("run-")


def _told(data: bytes) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The rows of the history, and what is known of how it was trained."""
    rows: list[dict[str, float]] = []
    config: dict[str, Any] = {}
    for record in records(data):
        for number, value in fields(record):
            if number == _HISTORY:
                rows.append(_numbers(bytes_in(value)))
            elif number == _RUN:
                for part, inner in fields(bytes_in(value)):
                    if part == _CONFIG:
                        config |= dict(_items(bytes_in(inner)))
    return rows, config


def _numbers(history: bytes) -> dict[str, float]:
    found = {name: number_in(value) for name, value in _items(history) if not isinstance(value, list | dict)}
    return {name: number for name, number in found.items() if number is not None}


def _items(message: bytes) -> Iterator[tuple[str, Any]]:
    """Names and values of a history or a configuration; the parts of a nested name are joined by "/"."""
    for number, item in fields(message):
        if number != 1:
            continue
        key, nested, told = "", [], "null"
        for part, value in fields(bytes_in(item)):
            if part == 1:
                key = text_in(value)
            elif part == 2:
                nested.append(text_in(value))
            elif part == 16:
                told = text_in(value)
        try:
            yield key or "/".join(nested), json.loads(told)
        except (ValueError, RecursionError):
            continue


def records(data: bytes) -> Iterator[bytes]:
    """The messages of a file, as far as it is whole. The header counts as part of the first block."""
    place, pieces = _HEADER, b""
    while place + _PIECE_HEADER <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _PIECE_HEADER:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        place += _PIECE_HEADER
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or length > left - _PIECE_HEADER:
            place += left - _PIECE_HEADER  # the rest of the block is damaged or empty
            pieces = b""
            continue
        piece = data[place : place + length]
        place += length
        pieces = piece if kind in (_FULL, _FIRST) else pieces + piece
        if kind in (_FULL, _LAST) and len(piece) == length:
            yield pieces

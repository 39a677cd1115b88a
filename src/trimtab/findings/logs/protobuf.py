"""Protobuf: the fields of a message by their numbers, as far as logs need them: no descriptors, no packages."""

import struct
from collections.abc import Iterator

_ONE_BYTE = 127
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field in order: an int for a varint, bytes for the rest, eight or four of them for a
    number of fixed size. Ends where the message is damaged."""
    place, end = 0, len(message)
    while place < end:
        key, place = message[place], place + 1
        if key > _ONE_BYTE:  # most numbers are shorter, and a call takes longer than all else here
            key, place = varint(message, place - 1)
        kind = key & 7
        if kind == _VARINT:
            value, place = varint(message, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, place = (message[place], place + 1) if place < end else (0, place)
            if length > _ONE_BYTE:
                length, place = varint(message, place - 1)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            return
        if place + length > end:
            return
        yield key >> 3, message[place : place + length]
        place += length


def varint(message: bytes, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and where it ends."""
    value = shift = 0
    while place < len(message):
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return value, place


def bytes_in(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def text_in(value: int | bytes) -> str:
    return bytes_in(value).decode("utf-8", errors="replace")


def double_in(value: int | bytes) -> float | None:
    """The double in eight bytes, the float in four."""
    data = bytes_in(value)
    if len(data) not in (4, 8):
        return None
    return struct.unpack("<d" if len(data) == 8 else "<f", data)[0]

"""What tells the rows of a table apart: an id, or the photo's path and the row's overrides; never their order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from client.errors import RowError
from client.input.csv_file import Record

_FIELDS, _OTHERWISE = "\x1f", "\0"  # between fields; before what is no id, or no row that can be used
_KEY_BYTES = 8


@dataclass(frozen=True)
class Identifier:
    """Makes keys of records. Equal rows have equal keys: `client.output.numbering` tells them apart."""

    width: int  # of a record that can be used
    content: tuple[int, ...]  # the columns that decide about a row's files
    id: int | None  # the column of ids

    def __call__(self, records: Sequence[Record]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """The keys of records, and the checksums of their content: zeros without ids, whose keys are the content's."""
        contents = [self._content(record) for record in records]
        if self.id is None:
            return _keys(contents), np.zeros(len(contents), np.uint32)
        ids = [self._id(record) or _OTHERWISE + content for record, content in zip(records, contents, strict=True)]
        return _keys(ids), np.array([zlib.crc32(_bytes(content)) for content in contents], np.uint32)

    def _content(self, record: Record) -> str:
        if isinstance(record, RowError):
            return _OTHERWISE + str(record)
        if len(record) < self.width or any(record[self.width :]):
            return _OTHERWISE + _FIELDS.join(record)
        return _FIELDS.join([record[column] for column in self.content])

    def _id(self, record: Record) -> str:
        assert self.id is not None
        return "" if isinstance(record, RowError) or len(record) < self.width else record[self.id].strip()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    digests = [blake2b(_bytes(text), digest_size=_KEY_BYTES).digest() for text in texts]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64, copy=False)

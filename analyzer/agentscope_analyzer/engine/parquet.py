"""Parquet files as this project writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["open_parquet"]


def open_parquet(
    path: Path, schema: pa.Schema, *, plain: frozenset[str] = frozenset()
) -> pq.ParquetWriter:
    """A new private Parquet file; columns in ``plain`` hardly repeat a value. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    repeating = [field for field in schema if field.name not in plain]
    # LZ4 and not Zstandard: twice the bytes, two thirds of the time. The least and the greatest id
    # of a row group tell nothing, nor do those of the keys of maps; that a column is NULL throughout
    # saves reading it.
    return pq.ParquetWriter(
        path,
        schema,
        compression="lz4",
        use_dictionary=[leaf for field in repeating for leaf in _leaves(field)],
        write_statistics=[field.name for field in repeating if not pa.types.is_nested(field.type)],
    )


def _leaves(field: pa.Field) -> list[str]:
    if pa.types.is_map(field.type):
        return [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
    if pa.types.is_list(field.type):
        return [f"{field.name}.list.element"]
    return [field.name]

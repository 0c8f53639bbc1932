"""Folders of files that can be trusted to be what was once written, as long as their seal holds.

The seal is an index with the digest of every file. It guards against damage and half-written
folders, not against somebody who writes a folder and its seal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

__all__ = ["Damaged", "seal", "unseal"]

_INDEX: Final = "index.json"


class Damaged(Exception):
    """A folder is not what was once sealed."""


def seal(folder: Path, told: Mapping[str, Any]) -> None:
    """Write the index: the digests of all files, and what else is to be remembered as JSON.

    Raises OSError.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    content = {"files": dict(zip(names, _digests(folder, names), strict=True)), "told": told}
    text = json.dumps(content, sort_keys=True)
    index = {"content": content, "digest": hashlib.sha256(text.encode()).hexdigest()}
    descriptor = os.open(folder / _INDEX, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(index).encode())


def unseal(folder: Path) -> tuple[tuple[str, ...], Any]:
    """The names of the files and what was told; raises Damaged, or OSError where there is nothing."""
    data = (folder / _INDEX).read_bytes()
    try:
        index = json.loads(data)
        content = index["content"]
        text = json.dumps(content, sort_keys=True)
        names = sorted(content["files"])
        # A name with a folder in it was not written by us, whatever the digests say.
        if index["digest"] != hashlib.sha256(text.encode()).hexdigest() or any(
            Path(name).name != name for name in names
        ):
            raise Damaged(folder)
        if _digests(folder, names) != [content["files"][name] for name in names]:
            raise Damaged(folder)
        return tuple(names), content["told"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged(folder) from error


def _digests(folder: Path, names: list[str]) -> list[str]:
    def digest_of(name: str) -> str:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(2) as threads:  # hashing lets go of the interpreter
        return list(threads.map(digest_of, names))

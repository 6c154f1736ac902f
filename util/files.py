"""Files and folders written whole or not at all, and files read with a check that they are what was written.

A folder's SHA256SUMS, which `sha256sum -c` reads, lists every file whose damage nothing else would show.
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

SUMS = "SHA256SUMS"


class WriteError(OSError):
    """A file could not be written; the message names it. What was there before is untouched."""

    def __init__(self, path, reason=None):
        # a WriteError from a worker process is unpickled from its message alone
        message = f"{path}: could not be written ({reason}); free space and start the same command again"
        super().__init__(path if reason is None else message)


@contextlib.contextmanager
def new_file(path, part=None):
    """Yields the temporary name under which the block writes the file; it is flushed to the disk and renamed after it.

    part: the temporary name. If the block raises, the temporary file is removed, and what was at `path` stays.
    """
    part = Path(part or f"{path}.part")
    try:
        yield part
        finish_file(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def finish_file(part, path):
    """Flushes the file `part` to the disk, then renames it."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


@contextlib.contextmanager
def new_folder(path, part):
    """As `new_file`, for a folder: yields `part`, an empty folder, which is renamed after the block, or removed.

    A folder `part` that a killed process has left is removed first.
    """
    shutil.rmtree(part, ignore_errors=True)
    Path(part).mkdir(parents=True)
    try:
        yield Path(part)
        os.replace(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def write_file(path, content, attempt="part"):
    """Writes a file whole or not at all; see `new_file`. WriteError where that fails.

    content: bytes, or a function that writes them to the open file. attempt: the ending of the temporary name, for a
    file that two processes may write at the same time.
    """
    try:
        with new_file(path, f"{path}.{attempt}") as part, open(part, "wb") as file:
            content(file) if callable(content) else file.write(content)
    except OSError as error:
        raise WriteError(path, error) from error


def write_json(path, value, **how):
    """As `write_file`, of a value as JSON. how: as of json.dumps."""
    write_file(path, as_json(value, **how))


def as_json(value, **how):
    return (json.dumps(value, **{"indent": 2} | how) + "\n").encode()


def read_file(path, remedy="copy it or make it again"):
    """The bytes of a file. FileNotFoundError: there is none. ValueError: SHA256SUMS beside it has another digest.

    remedy: what the message advises.
    """
    path = Path(path)
    content, expected = path.read_bytes(), _read_sums(path.parent).get(path.name)
    if expected not in (None, hashlib.sha256(content).hexdigest()):
        sums = path.with_name(SUMS)
        raise ValueError(f"{path}: is not what {sums} says; {remedy} (if it was changed on purpose, delete {sums})")
    return content


def check_file(path, remedy="make it again"):
    """As `read_file`, for a file that has its own reader; read here only where SHA256SUMS has it."""
    if Path(path).name in _read_sums(Path(path).parent):
        read_file(path, remedy)


def write_sums(folder, names, later=None):
    """Writes SHA256SUMS of files in the folder. later: name -> content of files that will be written after it."""
    contents = {name: Path(folder, name).read_bytes() for name in names} | (later or {})
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    write_file(Path(folder, SUMS), "".join(lines).encode())


def _read_sums(folder):
    """Name -> SHA-256 in hexadecimal."""
    with contextlib.suppress(FileNotFoundError):
        text = Path(folder, SUMS).read_bytes().decode(errors="replace")
        return {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}
    return {}

"""Where a run stands: checkpoint.npz, from which it continues to the bit, and log.jsonl, which belongs to it."""

import dataclasses
import json
import os
import zlib
from pathlib import Path

import numpy as np

from visual_attention.experiment.hosts import is_first_host, write_file
from visual_attention.experiment.parameters import params_of, read_arrays
from visual_attention.util import checks
from visual_attention.util.checks import NUMBER
from visual_attention.util.files import WriteError


@dataclasses.dataclass
class Position:
    """Where a run stands: everything of a checkpoint that is not an array."""

    epoch: int = 0
    update: int = 0  # in this epoch
    cost: float = 0.0  # summed over this epoch's updates
    best: float = -1.0  # validation score
    best_epoch: int = -1
    seconds: float = 0.0  # of training so far
    log_bytes: int = 0  # of log.jsonl
    log_crc: int | None = None  # CRC-32 of these; older runs have none
    history: list = dataclasses.field(default_factory=list)  # validation score of each epoch


KINDS = {"epoch": int, "update": int, "cost": NUMBER, "best": NUMBER, "best_epoch": NUMBER, "seconds": NUMBER,
         "log_bytes": int, "history": list}  # fmt: skip


def save_checkpoint(path, model, position):
    """Writes parameters, the optimizer's state and the Position, after the log has reached the disk.

    WriteError: one of the files could not be written.
    """
    log = Path(path).with_name("log.jsonl")
    if log.is_file():  # the checkpoint contains its length
        try:
            with open(log, "a") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(log, error) from error
    arrays = params_of(model) | {name: np.asarray(v.get_value()) for name, v in model.optimizer_state.items()}
    state = np.frombuffer(json.dumps(dataclasses.asdict(position)).encode(), "uint8")
    write_file(path, lambda file: np.savez(file, position=state, **arrays))


def load_checkpoint(path, model):
    """Sets the model's parameters and its optimizer's state; returns the Position. ValueError: it fits another run."""
    try:
        variables = model.tparams | model.optimizer_state
        shapes = {name: variable.get_value().shape for name, variable in variables.items()} | {"position": None}
        saved = read_arrays(path, shapes)
        position = Position(**checks.parse_json("position", saved["position"].tobytes(), KINDS))
    except (ValueError, TypeError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a checkpoint of this run ({reason}); delete it to begin again") from error
    for name, variable in variables.items():
        variable.set_value(saved[name].astype(variable.dtype))
    return position


def append_log(log, position, entry):
    """Adds a line to log.jsonl, by the first host alone; the Position gets the new length and CRC-32."""
    if not is_first_host():
        return
    line = (json.dumps(entry) + "\n").encode()
    try:
        with open(log, "ab") as file:
            file.write(line)
            position.log_bytes = file.tell()
    except OSError as error:
        raise WriteError(log, error) from error
    position.log_crc = zlib.crc32(line, position.log_crc)


def restore_log(log, position):
    """Cuts log.jsonl to its length at the checkpoint, as the rest will be written again.

    ValueError: that part is not what it was at the checkpoint.
    """
    before = log.read_bytes()[: position.log_bytes] if log.is_file() else b""
    crc = zlib.crc32(before)
    if len(before) < position.log_bytes or position.log_crc not in (None, crc):
        raise ValueError(
            f"{log}: is not what checkpoint.npz beside it says; copy it back, or delete both to begin the run again"
        )
    position.log_crc = crc
    if log.is_file():
        os.truncate(log, position.log_bytes)

"""Training a run: the loop over epochs and updates, with validation, checkpoints and progress.

Order of windows and dropout are functions of seed, epoch and update, so a run that was interrupted anywhere and is
started again ends with the very same parameters as one that was not.
"""

import contextlib
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from visual_attention.experiment.checkpoints import (
    Position,
    append_log,
    load_checkpoint,
    restore_log,
    save_checkpoint,
)
from visual_attention.experiment.evaluation import evaluate
from visual_attention.experiment.hosts import is_first_host, wait_for_hosts
from visual_attention.experiment.parameters import load_params, write_params
from visual_attention.experiment.stopping import CostError, Interrupted, deferred_signals
from visual_attention.model import model_for
from visual_attention.util import workers
from visual_attention.util.data_handler import read_ahead


def train(options, folder, train_data, valid_data):
    """Trains a run to its end, from wherever its folder stands; returns the best model and the Position.

    Writes log.jsonl, checkpoint.npz and model.npz. Raises Interrupted after Ctrl-C or SIGTERM, CostError if the cost is
    not finite, WriteError if a file cannot be written; the same call then continues from the checkpoint.
    """
    folder = Path(folder)
    model, checkpoint, log = model_for(options, train_data.table.dtype), folder / "checkpoint.npz", folder / "log.jsonl"
    position = load_checkpoint(checkpoint, model) if checkpoint.is_file() else Position()
    wait_for_hosts("begin")  # all have read the checkpoint before one writes
    if is_first_host():
        restore_log(log, position)
    table = train_data.release_memory()
    frames = None if table is None else model.frames(table)
    del table  # frames may be a copy of it, on a device
    n_updates, saved = -(-train_data.n_windows // options.batch_size), time.monotonic()
    started = saved - position.seconds

    def save():
        position.seconds = time.monotonic() - started
        save_checkpoint(checkpoint, model, position)

    done, total = position.epoch * n_updates + position.update, options.max_epochs * n_updates
    with deferred_signals() as signals, _progress(folder, done, total) as bar:
        while position.epoch < options.max_epochs:
            with contextlib.closing(_updates(model, train_data, frames, position)) as costs:
                for cost in costs:
                    if not np.isfinite(cost):
                        raise _cost_error(options, folder, position, cost, n_updates)
                    position.update, position.cost = position.update + 1, position.cost + cost
                    bar.update()
                    bar.set_postfix(epoch=position.epoch + 1, cost=f"{cost:.3f}", refresh=False)
                    if position.update % 10 == 0:
                        entry = {"epoch": position.epoch + 1, "update": position.update, "cost": cost}
                        append_log(log, position, entry)
                    if signals or time.monotonic() - saved > options.checkpoint_seconds:
                        save()
                        saved = time.monotonic()
                    if signals:
                        raise Interrupted(signals[0], folder)
            valid_score = _validate(model, folder, valid_data, position)
            # of a window; the released program's cost is a sum over a batch
            mean = position.cost / (train_data.n_windows if options.cost == "released" else n_updates)
            seconds = round(time.monotonic() - started, 2)
            entry = {"epoch": position.epoch + 1, "train_cost": mean, "valid_score": valid_score, "seconds": seconds}
            append_log(log, position, entry)
            bar.set_description(f"{folder.parent.name}/{folder.name}, valid {valid_score:.1f} %")
            position.epoch, position.update, position.cost = position.epoch + 1, 0, 0.0
            save()
            if signals:
                raise Interrupted(signals[0], folder)
    wait_for_hosts("end")
    load_params(model, folder / "model.npz")
    return model, position


def _updates(model, data, frames, position):
    """Updates the model with the batches of this epoch that are left; yields the cost of each.

    frames: the whole frame table where the model computes; None: each batch brings its frames.
    """
    o = model.options
    order = data.shuffled(np.random.default_rng([o.seed, 1, position.epoch]), o.shuffle)
    with contextlib.closing(read_ahead(data.batches(order, o.batch_size, position.update, frames=frames))) as batches:
        for batch in batches:
            yield model.update(batch, np.random.default_rng([o.seed, 2, position.epoch, position.update]))


def _validate(model, folder, data, position):
    """The validation score at the end of an epoch; writes model.npz where it is the best so far."""
    _, score, _ = evaluate(model, data)
    position.history.append(score)
    if score > position.best:
        position.best, position.best_epoch = score, position.epoch + 1
        write_params(folder / "model.npz", model, position.history)
    return score


def _cost_error(options, folder, position, cost, n_updates):
    uses_rate = options.optimizer in ("adam", "sgd")
    advice = f"a smaller --lrate (now {options.lrate})" if uses_rate else "--optimizer adam"
    return CostError(
        f"{folder}: the cost is {cost} at epoch {position.epoch + 1}, update {position.update + 1} of {n_updates}; "
        f"{advice} usually helps"
    )


def _progress(folder, done, total):
    return tqdm(
        initial=done,
        total=total,
        desc=f"{folder.parent.name}/{folder.name}",
        unit="update",
        position=workers.line,
        leave=workers.line == 0,
        disable=None,
    )

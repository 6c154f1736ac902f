"""Training a run: epochs, validation, checkpoints, resuming, progress; and its evaluation on the test part.

A run folder holds options.json, log.jsonl, checkpoint.npz, model.npz (best by validation), predictions.csv and
result.json. Order of windows and dropout are functions of seed, epoch and update, so a run that was interrupted
anywhere and is started again ends with the very same parameters as one that was not.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from visual_attention.evaluation import class_table, evaluate, write_predictions
from visual_attention.model import model_for
from visual_attention.run_folder import (
    CostError,
    Interrupted,
    WriteError,
    first_host,
    load_params,
    open_run,
    params_of,
    write_file,
    write_json,
    write_params,
)
from visual_attention.util import metrics, workers
from visual_attention.util.data_handler import DataHandler, read_ahead
from visual_attention.util.data_lists import folds_of_groups, read_class_names, read_lists
from visual_attention.util.frame_table import FrameTable

# ---------------------------------------------------------------- data


def load_part(folder, part, options):
    """The windows of one part as `options` want them."""
    return DataHandler(
        folder,
        part,
        maxlen=options.maxlen,
        fps=options.fps,
        stride=options.training_stride if part == "train" else options.testing_stride,
        n_actions=options.n_actions,
        ctx_dim=options.ctx_dim,
        memory_gb=options.memory_gb,
    )


def load_parts(folder, options, fold=None):
    """The windows of train, valid and test.

    fold (k, n): for cross-validation; train lacks the k-th of n folds of the training videos, which is test.
    """
    if fold is None:
        parts = {part: load_part(folder, part, options) for part in ("train", "valid", "test")}
        for one, other in itertools.combinations(parts, 2):
            both = set(parts[one].lists.filenames) & set(parts[other].lists.filenames)
            if both:
                raise ValueError(
                    f"{folder}: {len(both)} videos are in {one} and in {other}, such as {min(both)!r}; expected each "
                    "in one part, or scores mean nothing; cut the lists anew"
                )
        return parts
    train, valid, held_out = load_part(folder, "train", options), load_part(folder, "valid", options), None
    folds = folds_of_groups(train.lists, fold[1])
    if options.training_stride != options.testing_stride:
        held_out = load_part(folder, "train", options.replace(training_stride=options.testing_stride))
    kept, left_out = np.flatnonzero(folds != fold[0]), np.flatnonzero(folds == fold[0])
    return {"train": train.only(kept), "valid": valid, "test": (held_out or train).only(left_out)}


def data_options(folder, ctx_dim=None, part="train"):
    """Options that a data set's folder answers: n_actions, multilabel, ctx_dim, n_locations, fps.

    ctx_dim: the feature depth, for files of the released program, which do not say it.
    """
    lists, table = read_lists(folder, part), FrameTable(Path(folder, f"{part}_features.h5"), ctx_dim)
    table.close()
    n_actions = lists.labels.shape[1] if lists.multilabel else int(lists.labels.max()) + 1
    named = Path(folder, "class_names.txt")
    if named.is_file():
        n_actions = len(read_class_names(folder, n_actions))
    return {
        "n_actions": n_actions,
        "multilabel": lists.multilabel,
        "ctx_dim": table.depth,
        "n_locations": table.n_locations,
        "fps": table.fps,
    }


def load_coverage(data):
    """Share of each location that the figure's box covers, (n_frames, L); None for data without <part>_boxes.npy."""
    path = data.folder / f"{data.part}_boxes.npy"
    return metrics.box_coverage(np.load(path), data.table.n_locations) if path.is_file() else None


def check_data(options, data):
    """ValueError where the data do not fit the options."""
    expected = {"n_locations": data.table.n_locations, "multilabel": data.lists.multilabel}
    for name, value in expected.items():
        if getattr(options, name) != value:
            raise ValueError(
                f"{data.folder}: option {name} is {getattr(options, name)}; expected {value} for these data"
            )
    if options.multilabel and not data.labels.any():
        raise ValueError(f"{data.folder}/{data.part}_labels.txt: no video has a label; expected a 1 somewhere")


# ---------------------------------------------------------------- training


@contextlib.contextmanager
def deferred_signals():
    """Ctrl-C and SIGTERM are noted in the list it yields, not obeyed at once; a second Ctrl-C is."""
    received = []

    def note(number, frame):
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in numbers}
    except ValueError:  # not the main thread, which has the signals
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclasses.dataclass
class Position:
    """Where a run stands: everything of a checkpoint that is not an array."""

    epoch: int = 0
    update: int = 0  # in this epoch
    cost: float = 0.0  # summed over this epoch's updates
    best: float = -1.0  # validation score
    best_epoch: int = -1
    seconds: float = 0.0  # of training so far
    log_bytes: int = 0
    history: list = dataclasses.field(default_factory=list)  # validation score of each epoch


def save_checkpoint(path, model, position):
    arrays = params_of(model) | {name: np.asarray(v.get_value()) for name, v in model.optimizer_state.items()}
    state = np.frombuffer(json.dumps(dataclasses.asdict(position)).encode(), "uint8")
    write_file(path, lambda file: np.savez(file, position=state, **arrays))


def load_checkpoint(path, model):
    try:
        with np.load(path, allow_pickle=False) as saved:
            for name, variable in (model.tparams | model.optimizer_state).items():
                variable.set_value(saved[name])
            return Position(**json.loads(saved["position"].tobytes()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a checkpoint of this run ({error!r}); delete it to begin again") from error


def train(options, folder, train_data, valid_data):
    """Trains a run to its end, from wherever its folder stands; returns the best model and the Position.

    Writes log.jsonl, checkpoint.npz and model.npz. Raises Interrupted after Ctrl-C or SIGTERM, CostError if the cost is
    not finite, WriteError if a file cannot be written; the same call then goes on from the checkpoint.
    """
    folder = Path(folder)
    model, checkpoint, log = model_for(options, train_data.table.dtype), folder / "checkpoint.npz", folder / "log.jsonl"
    position = load_checkpoint(checkpoint, model) if checkpoint.is_file() else Position()
    wait_for_hosts("begin")  # all have read the checkpoint before one writes
    with contextlib.suppress(FileNotFoundError):
        os.truncate(log, position.log_bytes)  # lines after the checkpoint will be written again
    train_data.place(model.frames)
    n_updates = -(-train_data.n_windows // options.batch_size)
    total = options.max_epochs * n_updates
    saved = began = time.monotonic()
    before = position.seconds

    def save():
        position.seconds = before + time.monotonic() - began
        if log.is_file():  # the checkpoint says how long it is, so it must be on the disk first
            with open(log, "a") as file:
                os.fsync(file.fileno())
        save_checkpoint(checkpoint, model, position)

    def write_log(line):
        if not first_host():
            return
        try:
            with open(log, "a") as file:
                file.write(json.dumps(line) + "\n")
                position.log_bytes = file.tell()
        except OSError as error:
            raise WriteError(
                f"{log}: could not be written ({error}); free space and start the same command again"
            ) from error

    with (
        deferred_signals() as signals,
        tqdm(
            total=total,
            initial=position.epoch * n_updates + position.update,
            desc=f"{folder.parent.name}/{folder.name}",
            unit="update",
            position=workers.line,
            leave=workers.line == 0,
            disable=None,
        ) as bar,
    ):
        while position.epoch < options.max_epochs:
            epoch = position.epoch
            order = train_data.shuffled(np.random.default_rng([options.seed, 1, epoch]), options.shuffle)
            batches = read_ahead(train_data.batches(order, options.batch_size, position.update))
            with contextlib.closing(batches):
                for batch in batches:
                    rng = np.random.default_rng([options.seed, 2, epoch, position.update])
                    cost = model.update(batch, rng)
                    if not np.isfinite(cost):
                        heeded = options.optimizer in ("adam", "sgd")
                        advice = f"a smaller --lrate (now {options.lrate})" if heeded else "--optimizer adam"
                        raise CostError(
                            f"{folder}: the cost is {cost} at epoch {epoch + 1}, update {position.update + 1} of "
                            f"{n_updates}; {advice} usually helps"
                        )
                    position.update, position.cost = position.update + 1, position.cost + cost
                    bar.update()
                    bar.set_postfix(epoch=epoch + 1, cost=f"{cost:.3f}", refresh=False)
                    if position.update % 10 == 0:
                        write_log({"epoch": epoch + 1, "update": position.update, "cost": cost})
                    if signals:
                        save()
                        raise Interrupted(signals[0], folder)
                    if time.monotonic() - saved > options.checkpoint_seconds:
                        save()
                        saved = time.monotonic()
            _, valid_score, _ = evaluate(model, valid_data)
            position.history.append(valid_score)
            if valid_score > position.best:
                position.best, position.best_epoch = valid_score, epoch + 1
                write_params(folder / "model.npz", model, position.history)
            # of a window; the released program's cost is a sum over a batch
            mean = position.cost / (train_data.n_windows if options.cost == "released" else n_updates)
            seconds = before + time.monotonic() - began
            write_log(
                {"epoch": epoch + 1, "train_cost": mean, "valid_score": valid_score, "seconds": round(seconds, 2)}
            )
            bar.set_description(f"{folder.parent.name}/{folder.name}, valid {valid_score:.1f} %")
            position.epoch, position.update, position.cost = epoch + 1, 0, 0.0
            save()
            if signals:
                raise Interrupted(signals[0], folder)
    wait_for_hosts("end")
    load_params(model, folder / "model.npz")
    return model, position


def wait_for_hosts(where):
    """Where several hosts train a run: returns when all have come so far."""
    if jax.distributed.is_initialized():
        multihost_utils.sync_global_devices(where)


def run_cell(options, folder, data):
    """Trains a run and tests it, or only tells the result if that has been done; returns what result.json holds.

    data: {"train": DataHandler, "valid": ..., "test": ...}.
    """
    path, test = Path(folder, "result.json"), data["test"]
    for part in data.values():
        check_data(options, part)
    read_class_names(test.folder, options.n_actions)  # what is wrong there should be said before training
    digest = "-".join(part.digest() for part in data.values())
    open_run(folder, options, digest, test.folder, data["train"].buffer_frames(options.shuffle))
    if path.is_file():
        return json.loads(path.read_text())
    with workers.only_process(folder, "training this run") if first_host() else contextlib.nullcontext():
        model, position = train(options, folder, data["train"], data["valid"])
    result = {
        "valid": position.best,
        "best_epoch": position.best_epoch,
        "epochs": options.max_epochs,
        "training_seconds": round(position.seconds, 2),
    }
    return test_run(model, folder, test, result)


def test_run(model, folder, test, result):
    """Tests a trained model; adds to `result`, writes predictions.csv and result.json, and returns what that holds."""
    began, options = time.monotonic(), model.options
    names, coverage = read_class_names(test.folder, options.n_actions), load_coverage(test)
    video_probs, test_score, share = evaluate(model, test, coverage)
    write_predictions(Path(folder, "predictions.csv"), test, video_probs, names)
    result = {"metric": "mAP" if options.multilabel else "accuracy", "test": test_score} | result
    result |= {
        "test_seconds": round(time.monotonic() - began, 2),
        "classes": class_table(options, video_probs, test.labels, names),
    }
    if share is not None:
        uniform = coverage[test.index].mean()
        result |= {"attention_on_figure": share, "uniform_on_figure": float(uniform)}
    if not options.multilabel:
        predicted = video_probs.argmax(axis=1)
        result["confusion_matrix"] = metrics.confusion_matrix(test.labels, predicted, options.n_actions).tolist()
    write_json(Path(folder, "result.json"), result)
    return result

"""A run from data to result: trained, tested, and written to its folder."""

import contextlib
import csv
import io
import time
from pathlib import Path

import numpy as np

from visual_attention import backends
from visual_attention.attention import ATTENTION
from visual_attention.experiment.data import check_data, load_coverage
from visual_attention.experiment.evaluation import class_table, evaluate
from visual_attention.experiment.hosts import is_first_host, write_file
from visual_attention.experiment.run_folder import load_result, open_run, write_sealed
from visual_attention.experiment.training import train
from visual_attention.options import TEST_GLIMPSES
from visual_attention.util import metrics, workers
from visual_attention.util.data_lists import read_class_names
from visual_attention.util.tables import plain_cell


def run_cell(options, folder, data):
    """Trains and tests a run, or reads the result if that has been done; returns what result.json holds.

    data: part -> DataHandler, of train, valid and test. Errors: as of `training.train`; ValueError where the folder
    holds another run, or the data do not fit the options.
    """
    path, test = Path(folder, "result.json"), data["test"]
    for part in data.values():
        check_data(options, part)
    # errors of what is used last should come before training
    read_class_names(test.folder, options.n_actions)
    load_coverage(test)
    backends.check_devices(options)
    if options.pooling == "attention" and options.attention == "given":
        kinds = " or ".join(kind for kind in ATTENTION if kind != "given")
        raise ValueError(f"option attention is 'given'; expected a kind that chooses its glimpses: {kinds}")
    digest = "-".join(part.digest() for part in data.values())
    open_run(folder, options, digest, test.folder, data["train"].buffer_frames(options.shuffle))
    if path.is_file():
        return load_result(folder)
    lock = contextlib.nullcontext()
    if is_first_host():  # a worker whose command was killed may take a few seconds to end
        lock = workers.only_process(folder, "training this run", patience=10)
    with lock:
        model, position = train(options, folder, data["train"], data["valid"])
        result = {
            "valid": position.best,
            "best_epoch": position.best_epoch,
            "epochs": options.max_epochs,
            "training_seconds": round(position.seconds, 2),
        }
        return evaluate_run(model, folder, test, result)


def evaluate_run(model, folder, test, result):
    """Evaluates a trained model on the test part; writes predictions.csv and result.json; returns what that holds.

    result: what the file shall hold besides.
    """
    began, options = time.monotonic(), model.options
    names, coverage = read_class_names(test.folder, options.n_actions), load_coverage(test)
    video_probs, test_score, share = evaluate(model, test, coverage)
    write_predictions(Path(folder, "predictions.csv"), test, video_probs, names)
    result = {"metric": "mAP" if options.multilabel else "accuracy", "test": test_score} | result
    result |= {
        "test_seconds": round(time.monotonic() - began, 2),
        "classes": class_table(options, video_probs, test.labels, names),
    }
    if options.focus == "hard":
        result["tests"] = {options.glimpse_test: {"test": test_score, "attention_on_figure": share}}
        for kind in [kind for kind in TEST_GLIMPSES if kind != options.glimpse_test]:
            _, score, on_figure = evaluate(model.tested_by(glimpse_test=kind), test, coverage)
            result["tests"][kind] = {"test": score, "attention_on_figure": on_figure}
    if share is not None:
        uniform = coverage[test.index].mean()
        result |= {"attention_on_figure": share, "uniform_on_figure": float(uniform)}
    if not options.multilabel:
        predicted = video_probs.argmax(axis=1)
        result["confusion_matrix"] = metrics.confusion_matrix(test.labels, predicted, options.n_actions).tolist()
    write_sealed(Path(folder, "result.json"), result)
    return result


def write_predictions(path, data, video_probs, names):
    """One row per video: name, windows, true and predicted class (several: those over 0.5), probabilities.

    Names are written so that no spreadsheet takes them for formulas: see `tables.plain_cell`.
    """
    counts = np.bincount(data.video, minlength=len(data.labels))
    if data.lists.multilabel:
        true, predicted = data.labels, video_probs > 0.5
    else:
        one_hot = np.eye(video_probs.shape[1], dtype=int)
        true, predicted = one_hot[data.labels], one_hot[video_probs.argmax(axis=1)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "windows", "true", "predicted", *map(plain_cell, names)])
    for k, name in enumerate(data.lists.filenames):
        labels = ["+".join(n for n, hit in zip(names, row[k], strict=False) if hit) for row in (true, predicted)]
        writer.writerow([plain_cell(name), counts[k], *map(plain_cell, labels), *(f"{p:.6f}" for p in video_probs[k])])
    write_file(path, text.getvalue().encode())

"""Numbers recorded from the released program, computed again by our graph.

The files are .npz of plain arrays: inputs, parameters and options of the program, and what it made of them. Keys say
which kind a file is: outputs and gradients of a model (`o/cost`), updates of an optimizer (`costs`), initial parameters
(`next_rand`), windows (`video_frames`) or scores (`<case>/window_video`). Texts are bytes.
"""

import functools
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytensor

from visual_attention import actrec, actrec_mAP, backend
from visual_attention.evaluation import window_scores
from visual_attention.layers import gradients
from visual_attention.model import Model
from visual_attention.options import graph_options
from visual_attention.released import from_released
from visual_attention.util import metrics
from visual_attention.util.data_handler import Batch, windows

# largest errors allowed, relative to the largest entry of the tensor
BARS = {
    "float64": {"outputs": 1e-9, "gradients": 1e-9, "updates": 1e-5},
    "float32": {"outputs": 1e-5, "gradients": 1e-4, "updates": 1e-5},
}
# what the step computes and the released program recorded, beyond h and c
STEPS = ("preact", "i", "f", "o", "ctx", "alpha", "alpha_pre", "pstate", "pctx_pre", "pctx", "sel")


@dataclass
class Check:
    """The largest error of a kind of numbers in a file. `error` is relative; nan and inf are never good."""

    kind: str  # outputs, gradients or updates
    error: float
    where: str
    bar: float

    @property
    def good(self):
        return self.error <= self.bar


def replay(path, floatX="float32", backend_name="jax"):
    """Checks of a file: a list of Check. ValueError where it is not such a file, or holds what our graph has not."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as saved:
            recorded = {name: saved[name] for name in saved.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an .npz of plain arrays ({error})") from error
    kinds = {"o/cost": _model, "costs": _optimizer, "next_rand": _initial, "video_frames": _windows}
    checks = [check for key, check in kinds.items() if key in recorded]
    checks += [_scores] if any(key.endswith("/window_video") for key in recorded) else []
    if len(checks) != 1:
        raise ValueError(
            f"{path}: its keys tell of no known kind of file; found {', '.join(sorted(recorded)[:5])}, ..."
        )
    try:
        return checks[0](recorded, floatX, backend_name)
    except KeyError as error:
        raise ValueError(f"{path}: key {error} is missing") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _worst(kind, found, expected, bar, absolute=()):
    """The Check of `found`, name -> array; expected: name -> one recorded array, or two, of which each may be right."""
    largest, worst = {}, Check(kind, 0.0, "", bar)
    for name, recorded in expected.items():
        largest[name] = max((np.abs(r[np.isfinite(r)]).max(initial=0) for r in recorded), default=0)
    for name, recorded in expected.items():
        ours = np.asarray(found[name], "float64")
        if any(r.shape != ours.shape for r in recorded):
            raise ValueError(f"{name} is {recorded[0].shape}; ours is {ours.shape}")
        # what is not finite in float32 is judged by the float64 number alone; between two recorded ones all is right
        low, high = np.fmin.reduce(recorded), np.fmax.reduce(recorded)
        if len(recorded) == 2:
            low = np.where(np.isfinite(low), low, recorded[1])
            high = np.where(np.isfinite(high), high, recorded[1])
        error = np.max(np.fmax(low - ours, ours - high), initial=0) if np.isfinite(ours).all() else np.inf
        scale = max(1, *largest.values()) if name in absolute else largest[name] or 1
        if not error / scale <= worst.error:
            worst = Check(kind, float(error / scale), name, bar)
    return worst


def _options(recorded, prefix="", **changes):
    """Our Options for the recorded ones and sizes of x, float and backend among the changes."""
    theirs = json.loads(recorded["options"].item())
    T, B, L, D = recorded[f"x{prefix}"].shape
    multilabel = recorded[f"y{prefix}"].ndim == 3
    return from_released(theirs, maxlen=T, batch_size=B, n_locations=L, ctx_dim=D, multilabel=multilabel, **changes)


def _batch(recorded, options, number=""):
    """The recorded windows as frames of their own and an index."""
    x, y = recorded[f"x{number}"], recorded[f"y{number}"]
    if (y != y[0]).any():
        raise ValueError(f"y{number} changes within a window; expected one label a window")
    T, B = x.shape[:2]
    frames = np.ascontiguousarray(x.reshape(T * B, *x.shape[2:]), options.floatX)
    index = np.arange(T * B, dtype="int32").reshape(T, B)
    mask = np.ascontiguousarray(recorded[f"mask{number}"], options.floatX)
    return Batch(frames, index, mask, np.ascontiguousarray(y[0], "int32"), np.arange(B))


def _params(recorded, prefix, floatX):
    names = json.loads(recorded["param_names"].item())
    return {name: recorded[f"{prefix}/{name}"].astype(floatX) for name in names}


def _set(tparams, values):
    if list(tparams) != list(values):
        raise ValueError(f"param_names are {', '.join(values)}; expected {', '.join(tparams)}")
    for name, variable in tparams.items():
        if variable.get_value().shape != values[name].shape:
            raise ValueError(f"parameter {name} is {values[name].shape}; expected {variable.get_value().shape}")
        variable.set_value(values[name])


@functools.lru_cache(maxsize=8)
def _compiled(options, training):
    """Graph of `options`, its parameters, and a function of frames, index, mask, y (and dropout's bits) to all outputs
    and gradients. Which window is looked at and what is penalised how much are not in the graph."""
    tparams = actrec.init_tparams(actrec.init_params(options))
    build = actrec_mAP.build_model if options.multilabel else actrec.build_model
    wanted = [name for name in STEPS if name not in ("alpha", "sel") or (name == "sel" and options.selector)]
    with pytensor.config.change_flags(traceback__limit=0):
        graph = build(tparams, options, training, wanted=wanted)
        grads = gradients(graph.cost, tparams, graph.taps)
        inputs = [graph.frames, graph.index, graph.mask, graph.y] + ([graph.dropout.bits] if training else [])
        function = backend.compile_function(inputs, [*graph.outputs.values(), *grads], backend=options.backend)
    return graph, tparams, function


def _model(recorded, floatX, backend_name):
    options = _options(recorded, floatX=floatX, backend=backend_name)
    masks = sorted((key for key in recorded if key.startswith("dmask/")), key=lambda key: int(key.split("/")[1]))
    backend.set_precision(floatX, backend_name)
    graph, tparams, function = _compiled(graph_options(options), bool(masks))
    _set(tparams, _params(recorded, "p", floatX))
    graph.alpha_c.set_value(np.asarray(options.alpha_c, floatX))
    graph.decay_c.set_value(np.asarray(options.decay_c, floatX))
    batch = _batch(recorded, options)
    inputs = [batch.frames, batch.index, batch.mask, batch.y]
    if masks:
        bits = [np.packbits(recorded[key].astype(bool), axis=-1, bitorder="little").ravel() for key in masks]
        inputs.append(np.concatenate(bits))
        if len(inputs[-1]) != graph.dropout.size:
            raise ValueError(f"dmask/...: {len(masks)} masks of other sizes than this model's dropout has")
    values = function(*inputs)
    outputs = dict(zip(graph.outputs, map(np.asarray, values), strict=False))
    scores = window_scores(options.replace(video_score="average"), outputs["probs"])
    outputs["preds"] = scores if options.multilabel else scores.argmax(axis=1)
    grads = dict(zip(tparams, values[len(graph.outputs) :], strict=True))

    def expected(letter):
        letters = [f"{letter}64"] if floatX == "float64" else [letter, f"{letter}64"]
        letters = letters[:1] + [k for k in letters[1:] if any(key.startswith(f"{k}/") for key in recorded)]
        names = [key.split("/", 1)[1] for key in recorded if key.startswith(f"{letter}/")]
        return {name: [recorded[f"{kind}/{name}"].astype("float64") for kind in letters] for name in names}

    for name in expected("o").keys() - outputs.keys():
        raise ValueError(f"o/{name}: our graph has no such output")
    bars = BARS[floatX]
    # softmax takes no notice of a shift, so the gradient by c_tt is 0 but for rounding
    return [
        _worst("outputs", outputs, expected("o"), bars["outputs"]),
        _worst("gradients", grads, expected("g"), bars["gradients"], absolute=("decoder_c_tt",)),
    ]


def _optimizer(recorded, floatX, backend_name):
    name = {"optimizer": recorded["optimizer"].item().decode(), "lrate": float(recorded["lrate"])}
    recorded["options"] = np.array(json.dumps(json.loads(recorded["options"].item()) | name).encode())
    options = _options(recorded, "0", floatX=floatX, backend=backend_name)
    if options.use_dropout:
        raise ValueError("options: use_dropout is true, but no masks are recorded; expected false")
    model, costs, checks = Model(options, floatX), [], []
    _set(model.tparams, _params(recorded, "p0", floatX))
    n_batches = sum(key.startswith("x") for key in recorded)
    bars = BARS[floatX]
    for k in range(len(recorded["costs"])):
        costs.append(model.update(_batch(recorded, options, k % n_batches), None))
        if f"p{k + 1}/{next(iter(model.tparams))}" in recorded:
            expected = {name: [recorded[f"p{k + 1}/{name}"].astype("float64")] for name in model.tparams}
            found = {name: variable.get_value() for name, variable in model.tparams.items()}
            checks.append(_worst("updates", found, expected, bars["updates"]))
            checks[-1].where += f" after {k + 1}"
    checks.append(_worst("updates", {"costs": np.array(costs)}, {"costs": [recorded["costs"]]}, bars["updates"]))
    return [max(checks, key=lambda check: check.error)]


def _initial(recorded, floatX, backend_name):
    theirs, seed = json.loads(recorded["options"].item()), int(recorded["seed"])
    options, rng = from_released(theirs, floatX=floatX), np.random.RandomState(seed)
    # orthogonal blocks are equal but for the signs of singular vectors
    found = {name: np.abs(value.astype("float32")) for name, value in actrec.init_params(options, rng).items()}
    expected = {name: [np.abs(value.astype("float64"))] for name, value in _params(recorded, "p", floatX).items()}
    if list(found) != list(expected):
        raise ValueError(f"param_names are {', '.join(expected)}; expected {', '.join(found)}")
    # the draw after the last shows that exactly as many numbers were drawn
    found, expected = found | {"next_rand": rng.rand()}, expected | {"next_rand": [recorded["next_rand"]]}
    return [_worst("outputs", found, expected, BARS["float32"]["outputs"])]


def _windows(recorded, floatX, backend_name):
    found, expected = {}, {}
    for case in sorted({key.split("/")[0] for key in recorded if "/" in key}):
        T, fps, stride = map(int, re.fullmatch(r"T(\d+)_fps(\d+)_stride(\d+)", case).groups())
        index, video = windows(recorded["video_frames"], T, int(30 / fps), stride)
        ours = {"starts": index[0], "frames": index, "labels": recorded["video_labels"][video]}
        for name, value in ours.items():
            found[f"{case}/{name}"], expected[f"{case}/{name}"] = value, [recorded[f"{case}/{name}"].astype("float64")]
    return [_worst("outputs", found, expected, 0)]


def _scores(recorded, floatX, backend_name):
    found, expected = {}, {}
    for case in sorted({key.split("/")[0] for key in recorded}):
        predictions, video, labels = (recorded[f"{case}/{k}"] for k in ("window_predictions", "window_video", "labels"))
        if labels.ndim == 1:
            votes = metrics.video_probabilities(np.eye(predictions.max() + 1)[predictions], video, len(labels))
            ours = {"accuracy": (votes.argmax(axis=1) == labels).mean()}
        else:
            # the released program keeps a video's score in single precision
            scores = metrics.video_probabilities(predictions, video, len(labels)).astype("float32")
            ours = {"AP": metrics.average_precision(scores, labels)}
            ours["mAP"] = ours["AP"].mean()
        for name, value in ours.items():
            found[f"{case}/{name}"], expected[f"{case}/{name}"] = value, [recorded[f"{case}/{name}"]]
    return [_worst("outputs", found, expected, 0)]

"""Numbers recorded from the released program, computed again by our graph.

The files are .npz of plain arrays: inputs, parameters and options of the program, and what it made of them. Keys say
which kind a file is: outputs and gradients of a model (`o/cost`), updates of an optimizer (`costs`), initial parameters
(`next_rand`), windows (`video_frames`) or scores (`<case>/window_video`). Texts are bytes.
"""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt

from visual_attention import actrec, backends
from visual_attention.experiment import budget
from visual_attention.experiment.evaluation import window_scores
from visual_attention.experiment.parameters import read_arrays
from visual_attention.experiment.released import from_released
from visual_attention.layers import dropout_shapes, init_tparams
from visual_attention.model import Model
from visual_attention.options import graph_options
from visual_attention.util import metrics
from visual_attention.util.data_handler import Batch, windows

# largest errors allowed, relative to the largest entry of the tensor
BARS = {
    "float64": {"outputs": 1e-9, "gradients": 1e-9, "updates": 1e-5},
    "float32": {"outputs": 1e-5, "gradients": 1e-4, "updates": 1e-5},
}
# what the step computes and the released program recorded, beyond h, c, alpha and ctx
STEPS = ("preact", "i", "f", "o", "alpha_pre", "pstate", "pctx_pre", "pctx", "sel")


@dataclass
class Check:
    """The largest error of a kind of numbers in a file. `error` is relative; inf where one of ours is not finite."""

    kind: str  # outputs, gradients or updates
    error: float
    where: str
    bar: float

    @property
    def good(self):
        return self.error <= self.bar


def replay(path, floatX="float32", backend="jax"):
    """Checks of a file: a list of Check. ValueError where it is not such a file, or holds what our graph has not."""
    path = Path(path)
    recorded = read_arrays(path)
    kinds = {"o/cost": _model, "costs": _optimizer, "next_rand": _initial, "video_frames": _windows}
    checks = [check for key, check in kinds.items() if key in recorded]
    checks += [_scores] if any(key.endswith("/window_video") for key in recorded) else []
    if len(checks) != 1:
        raise ValueError(
            f"{path}: its keys tell of no known kind of file; found {', '.join(sorted(recorded)[:5])}, ..."
        )
    try:
        return checks[0](recorded, floatX, backend)
    except KeyError as error:
        raise ValueError(f"{path}: key {error} is missing") from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        # what shapes and texts out of place lead to
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from error


def _worst(kind, found, expected, bar, absolute=()):
    """The Check of `found`, name -> array; expected: name -> one recorded array, or in single and double precision.

    Of two recorded numbers, and of those between them, each is right; but where they are further apart than the bar,
    or the single one is not finite, the double one alone. An error is relative to the largest entry of the tensor; that
    is taken to be no less than a millionth of the largest of all, or of 1, so that what is 0 but for rounding passes.
    """
    largest, worst = {}, Check(kind, 0.0, "", bar)
    for name, recorded in expected.items():
        largest[name] = max((np.abs(r[np.isfinite(r)]).max(initial=0) for r in recorded), default=0)
    top = max(1, *largest.values())
    for name, recorded in expected.items():
        ours = np.asarray(found[name], "float64")
        if any(r.shape != ours.shape for r in recorded):
            raise ValueError(f"{name} is {recorded[0].shape}; ours is {ours.shape}")
        scale = top if name in absolute else max(largest[name], 1e-6 * top)
        low, high = np.minimum.reduce(recorded), np.maximum.reduce(recorded)
        apart = ~(high - low <= bar * scale)  # or not finite
        low, high = np.where(apart, recorded[-1], low), np.where(apart, recorded[-1], high)
        same = np.isnan(ours) & np.isnan(low)  # of a class without positives, say
        errors = np.where(same, 0, np.maximum(np.maximum(low - ours, ours - high), 0)) / scale
        error = float(np.max(np.nan_to_num(errors, nan=np.inf), initial=0))
        if error > worst.error:
            worst = Check(kind, error, name, bar)
    return worst


def _options(recorded, prefix="", **changes):
    """Our Options for the recorded ones and sizes of x, float and backend among the changes."""
    theirs = json.loads(recorded["options"].item())
    if recorded[f"x{prefix}"].ndim != 4:
        raise ValueError(f"x{prefix} is {recorded[f'x{prefix}'].shape}; expected (T, B, L, D)")
    T, B, L, D = recorded[f"x{prefix}"].shape
    multilabel = recorded[f"y{prefix}"].ndim == 3
    options = from_released(theirs, maxlen=T, batch_size=B, n_locations=L, ctx_dim=D, multilabel=multilabel, **changes)
    budget.check_size(options)
    return options


def _batch(recorded, options, number=""):
    """The recorded windows as frames of their own and an index; y (T, B) or (T, B, C), a label a step."""
    o, arrays = options, {name: recorded[f"{name}{number}"] for name in ("x", "mask", "y")}
    shapes = {"x": (o.maxlen, o.batch_size, o.n_locations, o.ctx_dim), "mask": (o.maxlen, o.batch_size)}
    shapes["y"] = shapes["mask"] + ((o.n_actions,) if o.multilabel else ())
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name}{number} is {arrays[name].shape}; expected {shape}")
    n = o.maxlen * o.batch_size
    frames = np.ascontiguousarray(arrays["x"].reshape(n, *shapes["x"][2:]), o.floatX)
    index = np.arange(n, dtype="int32").reshape(shapes["mask"])
    mask, y = np.ascontiguousarray(arrays["mask"], o.floatX), np.ascontiguousarray(arrays["y"], "int32")
    return Batch(frames, index, mask, y, np.arange(o.batch_size))


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
    """Graph of `options`, its parameters, and a function of frames, index, mask, y (and dropout masks) to all recorded
    values and gradients. Which window is looked at and what is penalised how much are not in the graph."""
    params = init_tparams(actrec.init_params(options))
    names = [name for name in STEPS if options.selector or name != "sel"]
    with pytensor.config.change_flags(traceback__limit=0):
        shape = (options.maxlen, options.batch_size, *([options.n_actions] if options.multilabel else []))
        y = pt.tensor("y", dtype="int32", shape=shape)
        graph = actrec.build_model(params, options, training, record=names, y=y)
        grads = pytensor.grad(graph.cost, list(params.values()))
        inputs = dict.fromkeys([graph.frames, graph.index, graph.mask, graph.y, *graph.masks.values()])
        outputs = [*graph.recorded.values(), *grads]
        function = backends.compile_function(inputs, outputs, None, options.backend, options.plain)
    return graph, params, function


def _model(recorded, floatX, backend):
    options = _options(recorded, floatX=floatX, backend=backend)
    masks = sorted((key for key in recorded if key.startswith("dmask/")), key=lambda key: int(key.split("/")[1]))
    backends.set_precision(floatX, backend)
    if masks and not options.use_dropout:
        raise ValueError("dmask/...: masks are recorded, but option use_dropout is false")
    graph, params, function = _compiled(graph_options(options), bool(masks))
    _set(params, _params(recorded, "p", floatX))
    graph.alpha_c.set_value(np.asarray(options.alpha_c, floatX))
    graph.decay_c.set_value(np.asarray(options.decay_c, floatX))
    batch = _batch(recorded, options)
    inputs = [batch.frames, batch.index, batch.mask, batch.y]
    if masks:
        inputs += [recorded[key].astype("uint8") for key in masks]
        if [mask.shape for mask in inputs[4:]] != list(dropout_shapes(options).values()):
            raise ValueError(f"dmask/...: {len(masks)} masks of other sizes than this model's dropout has")
    values = function(*inputs)
    outputs = dict(zip(graph.recorded, map(np.asarray, values), strict=False))
    scores = window_scores(options.replace(video_score="average"), outputs["probs"])
    outputs["preds"] = scores if options.multilabel else scores.argmax(axis=1)
    grads = dict(zip(params, values[len(graph.recorded) :], strict=True))

    def expected(letter, needed):
        letters = [f"{letter}64"] if floatX == "float64" else [letter, f"{letter}64"]
        letters = letters[:1] + [k for k in letters[1:] if any(key.startswith(f"{k}/") for key in recorded)]
        names = [key.split("/", 1)[1] for key in recorded if key.startswith(f"{letter}/")]
        for name in needed:
            if name not in names:
                raise KeyError(f"{letter}/{name}")
        return {name: [recorded[f"{kind}/{name}"].astype("float64") for kind in letters] for name in names}

    expected_outputs, bars = expected("o", ("h", "c", "alpha", "probs", "preds", "cost0", "cost")), BARS[floatX]
    for name in expected_outputs.keys() - outputs.keys():
        raise ValueError(f"o/{name}: our graph has no such output")
    # softmax takes no notice of a shift, so the gradient by c_tt is 0 but for rounding
    return [
        _worst("outputs", outputs, expected_outputs, bars["outputs"]),
        _worst("gradients", grads, expected("g", params), bars["gradients"], absolute=("decoder_c_tt",)),
    ]


def _optimizer(recorded, floatX, backend):
    name = {"optimizer": recorded["optimizer"].item().decode(), "lrate": float(recorded["lrate"])}
    recorded["options"] = np.array(json.dumps(json.loads(recorded["options"].item()) | name).encode())
    options = _options(recorded, "0", floatX=floatX, backend=backend)
    if options.use_dropout:
        raise ValueError("options: use_dropout is true, but no masks are recorded; expected false")
    model, costs, checks, bar = Model(options, floatX), [], [], BARS[floatX]["updates"]
    _set(model.tparams, _params(recorded, "p0", floatX))
    n_batches, n_updates = sum(bool(re.fullmatch(r"x\d+", key)) for key in recorded), len(recorded["costs"])
    batches = [_batch(recorded, options, k) for k in range(n_batches)]
    for batch, k in zip(batches, range(n_batches), strict=True):
        if (batch.y != batch.y[0]).any():
            raise ValueError(f"y{k} changes within a window; expected one label a window where updates are recorded")
        batch.y = np.ascontiguousarray(batch.y[0])
    for k in range(1, n_updates + 1):
        costs.append(model.update(batches[(k - 1) % n_batches], None))
        if k == n_updates or any(key.startswith(f"p{k}/") for key in recorded):
            expected = {name: [recorded[f"p{k}/{name}"].astype("float64")] for name in model.tparams}
            found = {name: variable.get_value() for name, variable in model.tparams.items()}
            checks.append(_worst("updates", found, expected, bar))
            checks[-1].where += f" after {k}"
    checks.append(_worst("updates", {"costs": np.array(costs)}, {"costs": [recorded["costs"]]}, bar))
    return [max(checks, key=lambda check: check.error)]


def _initial(recorded, floatX, backend):
    theirs, seed = json.loads(recorded["options"].item()), int(recorded["seed"])
    options, rng = from_released(theirs, floatX=floatX), np.random.RandomState(seed)
    budget.check_size(options)
    # orthogonal blocks are equal but for the signs of singular vectors
    found = {name: np.abs(value.astype("float32")) for name, value in actrec.init_params(options, rng).items()}
    expected = {name: [np.abs(value.astype("float64"))] for name, value in _params(recorded, "p", floatX).items()}
    if list(found) != list(expected):
        raise ValueError(f"param_names are {', '.join(expected)}; expected {', '.join(found)}")
    # the draw after the last shows that exactly as many numbers were drawn
    found, expected = found | {"next_rand": rng.rand()}, expected | {"next_rand": [recorded["next_rand"]]}
    return [_worst("outputs", found, expected, BARS["float32"]["outputs"])]


def _windows(recorded, floatX, backend):
    found, expected = {}, {}
    for case in sorted({key.split("/")[0] for key in recorded if "/" in key}):
        numbers = re.fullmatch(r"T(\d+)_fps(\d+)_stride(\d+)", case)
        if not numbers:
            raise ValueError(f"{case} is no case of windows; expected T<T>_fps<fps>_stride<s>")
        T, fps, stride = map(int, numbers.groups())
        index, video = windows(recorded["video_frames"], T, int(30 / fps), stride)
        ours = {"starts": index[0], "frames": index, "labels": recorded["video_labels"][video]}
        for name, value in ours.items():
            found[f"{case}/{name}"], expected[f"{case}/{name}"] = value, [recorded[f"{case}/{name}"].astype("float64")]
    return [_worst("outputs", found, expected, 0)]


def _scores(recorded, floatX, backend):
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

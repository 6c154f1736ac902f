"""To and from the released program: its options, and its checkpoints.

A checkpoint is `<name>.npz`, the parameters by name and history_errs, and beside it `<name>.npz.pkl`, the options as a
dict pickled by Python 2 (src/actrec.py, train).
"""

import io
import pickle
from pathlib import Path

from visual_attention.options import RECIPES, Options

SAME_NAME = (
    "dim_out", "ctx_dim", "dim", "n_actions", "n_layers_att", "n_layers_out", "n_layers_init", "ctx2out", "max_epochs",
    "decay_c", "alpha_c", "temperature_inverse", "lrate", "selector", "maxlen", "batch_size", "use_dropout",
    "training_stride", "testing_stride", "last_n", "fps",
)  # fmt: skip
OPTIMIZERS = {"adam": "adam_released", "adadelta": "adadelta", "rmsprop": "rmsprop", "sgd": "sgd"}
DATA_SETS = {"ucf11": "ucf11", "hmdb51": "hmdb51gln", "hollywood2": "h2mAP"}
# of our options, those in which its one model is fixed
CONVENTIONS = {"pooling": "attention", **RECIPES["released"]["embedded"]}
CONVENTIONS = {name: CONVENTIONS[name] for name in ("pooling", "attention", "n_layers_lstm", "dropout", "cost")}


def from_released(options, **changes):
    """Our Options for the released program's dict of them; what it lacks keeps the recipe's default.

    ValueError: one of them is out of range.
    """
    ours = {name: options[name] for name in SAME_NAME if name in options}
    if "fps" in ours:  # as it takes every int(30 / fps)-th frame, 12 is 15 there
        ours["fps"] = 30 // max(int(30 / ours["fps"]), 1)
    if "optimizer" in options:
        if options["optimizer"] not in OPTIMIZERS:
            raise ValueError(f"option optimizer is {options['optimizer']!r}; expected one of {', '.join(OPTIMIZERS)}")
        ours["optimizer"] = OPTIMIZERS[options["optimizer"]]
    multilabel = options.get("dataset") == DATA_SETS["hollywood2"]
    return Options(**{**RECIPES["released"]["ucf11"], "multilabel": multilabel, **ours, **changes})


def to_released(options):
    """The released program's dict of our Options, None where it has no such model."""
    if any(getattr(options, name) != value for name, value in CONVENTIONS.items()):
        return None
    optimizer = {ours: theirs for theirs, ours in OPTIMIZERS.items()}.get(options.optimizer, "adam")
    kind = "hollywood2" if options.multilabel else "ucf11"  # it learns the kind of labels from the data set's name
    others = {"dataset": DATA_SETS[kind], "valid_batch_size": options.batch_size, "reload_": False, "dictionary": None,
              "saveto": "model.npz", "patience": 10, "dispFreq": 20, "validFreq": 100, "saveFreq": 100}  # fmt: skip
    return {name: getattr(options, name) for name in SAME_NAME} | {"optimizer": optimizer} | others


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, None, dicts, lists and tuples. Nothing else can be named, so nothing can run."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_options(path):
    """The dict in a `<name>.npz.pkl`. ValueError where the file holds anything but plain values."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the released program writes it beside the .npz")
    try:
        found = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin-1").load()
    except Exception as error:  # a spoiled pickle can raise nearly anything
        raise ValueError(f"{path}: refused ({error}); expected a pickled dict of plain values, nothing else") from error
    plain = (bool, int, float, str, type(None))
    if not isinstance(found, dict) or not all(isinstance(v, plain) for kv in found.items() for v in kv):
        raise ValueError(f"{path}: refused; expected a pickled dict of option names and plain values, nothing else")
    return found


def pickled_options(options):
    """Bytes of `<name>.npz.pkl`, readable by Python 2; None where the released program has no such model."""
    found = to_released(options)
    return None if found is None else pickle.dumps(found, protocol=0)

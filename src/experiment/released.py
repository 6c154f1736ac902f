"""Options of the released program: converted from and to ours, and its file of them.

A checkpoint of the released program is `<name>.npz`, which has history_errs and the parameters by name, and beside it
`<name>.npz.pkl`, the options as a dict that Python 2 pickled (released code: src/actrec.py, train).
"""

import io
import pickle
import pickletools
from pathlib import Path

from visual_attention.options import RECIPES, Options
from visual_attention.util.data_sets import DATA_SETS

SAME_NAME = (
    "dim_out", "ctx_dim", "dim", "n_actions", "n_layers_att", "n_layers_out", "n_layers_init", "ctx2out", "max_epochs",
    "decay_c", "alpha_c", "temperature_inverse", "lrate", "selector", "maxlen", "batch_size", "use_dropout",
    "training_stride", "testing_stride", "last_n", "fps",
)  # fmt: skip
OPTIMIZERS = {"adam": "adam_released", "adadelta": "adadelta", "rmsprop": "rmsprop", "sgd": "sgd"}
ITS_DATA_SETS = [data_set for data_set in DATA_SETS.values() if data_set.released_name]
# values of our options to which the released program is fixed
CONVENTIONS = {"pooling": "attention", "resolutions": "one", "focus": "soft", **RECIPES["released"]["embedded"]}
CONVENTIONS = {
    name: CONVENTIONS[name]
    for name in ("pooling", "resolutions", "attention", "focus", "n_layers_lstm", "dropout", "cost")
}


def from_released(options, **changes):
    """Our Options for the released program's dict of options. An option that is missing has the recipe's default.

    changes: options of ours that override the result. ValueError: an option is out of range.
    """
    converted = {name: options[name] for name in SAME_NAME if name in options}
    if "fps" in converted:  # the released program takes every int(30 / fps)-th frame, so 12 acts as 15
        Options(fps=converted["fps"])  # ValueError where it is no positive number
        converted["fps"] = 30 // max(int(30 / converted["fps"]), 1)
    if "optimizer" in options:
        if options["optimizer"] not in OPTIMIZERS:
            raise ValueError(f"option optimizer is {options['optimizer']!r}; expected one of {', '.join(OPTIMIZERS)}")
        converted["optimizer"] = OPTIMIZERS[options["optimizer"]]
    multilabel = options.get("dataset") in [d.released_name for d in ITS_DATA_SETS if d.multilabel]
    return Options(**{**RECIPES["released"]["ucf11"], "multilabel": multilabel, **converted, **changes})


def to_released(options):
    """The released program's dict of options for ours; None where it has no such model."""
    if any(getattr(options, name) != value for name, value in CONVENTIONS.items()):
        return None
    optimizer = {name: released_name for released_name, name in OPTIMIZERS.items()}.get(options.optimizer, "adam")
    # The name of the data set tells the released program the kind of labels.
    dataset = next(d.released_name for d in ITS_DATA_SETS if d.multilabel == options.multilabel)
    others = {"dataset": dataset, "valid_batch_size": options.batch_size, "reload_": False, "dictionary": None,
              "saveto": "model.npz", "patience": 10, "dispFreq": 20, "validFreq": 100, "saveFreq": 100}  # fmt: skip
    return {name: getattr(options, name) for name in SAME_NAME} | {"optimizer": optimizer} | others


MOST_BYTES = 1_000_000  # of a pickled dict of options; a real one has some hundred


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, None, dicts, lists and tuples. A pickle can name nothing else, so it cannot run code."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_options(path):
    """The dict in a `<name>.npz.pkl`. ValueError where the file holds anything but plain values."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the released program writes it beside the .npz")
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(f"it has {size} bytes")
        pickled = path.read_bytes()
        if any("PUT" in code.name and place > size for code, place, _ in pickletools.genops(pickled)):
            raise ValueError("it asks for memory without end")  # the unpickler allocates up to the largest place
        values = _PlainUnpickler(io.BytesIO(pickled), encoding="latin-1").load()
    except Exception as error:  # a spoiled pickle can raise nearly anything
        raise ValueError(f"{path}: refused ({error}); expected a pickled dict of plain values, nothing else") from error
    plain = (bool, int, float, str, type(None))
    if not isinstance(values, dict) or not all(isinstance(v, plain) for pair in values.items() for v in pair):
        raise ValueError(f"{path}: refused; expected a pickled dict of option names and plain values, nothing else")
    return values


def pickled_options(options):
    """Bytes of `<name>.npz.pkl`, readable by Python 2; None where the released program has no such model."""
    values = to_released(options)
    return None if values is None else pickle.dumps(values, protocol=0)

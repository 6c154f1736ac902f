"""Every hyper-parameter in one dataclass, and the recipes: what paper and released program use on each data set."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

Pooling = Literal["attention", "mean", "max", "cube"]


@dataclass(frozen=True)
class Options:
    """All options of a run; names are the released program's where it has the option. Defaults: recipe `paper`, UCF-11.

    A value out of range raises ValueError naming the option, the value and what was expected.
    """

    # ---- the model's graph
    pooling: Pooling = "attention"
    """how a cube becomes the LSTM's input: soft attention (Eq. 5), mean or max over locations;
    cube: no LSTM, softmax regression on the whole cube"""
    attention: Literal["location", "mlp"] = "location"
    """location: Eq. 4, from the previous state alone; mlp: the released code's, which also sees the present cube"""
    n_layers_att: int = 1
    """layers of mlp attention before the one that scores locations; the further ones see the cube alone"""
    temperature_inverse: float = 1.0
    """scores of locations are multiplied by it before their softmax"""
    selector: bool = False
    """a gate between 0 and 1, computed from the previous state, scales the attended vector"""
    n_layers_lstm: int = 3
    """stacked LSTM layers, 1 to 5"""
    dim: int = 512
    """d, size of every LSTM layer"""
    dim_out: int = 512
    """size of the tanh hidden layer before the class softmax"""
    ctx2out: bool = False
    """the tanh hidden layer sees the attended vector too, not the LSTM's state alone"""
    n_layers_out: int = 1
    """hidden layers before the class softmax: the tanh layer, then rectifiers"""
    ctx_dim: int = 1024
    """D, depth of the features at a location"""
    n_locations: int = 49
    """L, locations of a cube"""
    n_actions: int = 11
    """C, classes"""
    multilabel: bool = False
    """several labels a video: sigmoid instead of softmax, mean average precision instead of accuracy"""
    # The paper calls f_init multilayer perceptrons and says no more; one rectifier layer of width D shared by all of
    # them, then a tanh layer for each h_0 and c_0, is the released code's construction.
    n_layers_init: int = 2
    """layers of f_init (Eq. 6), the last one tanh"""
    # The paper does not say whether dropout is undone at test time. We divide by 0.5 in training and do nothing in
    # testing. Eq. 4's h_{t-1} crosses a time-step and so counts as recurrent: no dropout. Nor is there any on mu, an
    # average in which dropped entries would not be noise but a change of scale, nor in softmax regression.
    use_dropout: bool = True
    """dropout 0.5"""
    dropout: Literal["paper", "released"] = "paper"
    """paper: on all non-recurrent connections, what is kept is doubled in training; released: none on the LSTM's
    inputs, what is kept stays as it is in training, everything is halved in testing"""

    # ---- the cost (Eq. 7)
    # The paper does not say whether a batch's windows are summed or averaged, nor how masks enter its penalty. We
    # average, so that lambda, gamma and the rate mean the same for every batch size, and leave out what is masked.
    cost: Literal["paper", "released"] = "paper"
    """paper: Eq. 7 for a window, averaged over a batch; released: cross-entropy of p + 1e-8, summed over a batch, and
    a penalty that is the mean over locations and takes no notice of masks"""
    alpha_c: float = 0.0
    """lambda, weight of the doubly stochastic penalty"""
    decay_c: float = 1e-5
    """gamma, weight decay of all parameters, biases too"""

    # ---- windows
    maxlen: int = 30
    """T, frames of a window"""
    fps: int = 30
    """frames per second of a window; divides the frame table's rate"""
    training_stride: int = 1
    """frames from the start of a training window to the next"""
    testing_stride: int = 1
    """frames from the start of a validation or test window to the next"""
    last_n: int = 0
    """a window's class is told from its last steps, this many; 0: all"""
    video_score: Literal["average", "vote"] = "average"
    """a video's class: from class probabilities averaged over its windows, or the class most of its windows have (ties
    to the smaller number; with several labels a video always the average)"""

    # ---- training
    optimizer: Literal["adam", "adam_released", "adadelta", "rmsprop", "sgd"] = "adam"
    """how parameters are updated; adam is the textbook's, all others are the released program's, of which only sgd
    takes notice of lrate"""
    # Not stated in the paper. 1e-3 is Adam's own default.
    lrate: float = 1e-3
    """learning rate"""
    # Not stated either. The released code, of one layer, draws 0.01 N(0, 1); three would shrink the signal thrice.
    init: Literal["glorot", "released"] = "glorot"
    """initial weights: glorot (uniform) or the released code's 0.01 N(0, 1); square ones orthogonal in both"""
    max_epochs: int = 15
    """epochs"""
    batch_size: int = 128
    """B, windows of an update"""
    shuffle: Literal["buffer", "global"] = "buffer"
    """order of training windows where the frame table is larger than memory_gb (else always global). buffer: videos are
    read whole, in random order, and windows drawn from those in a buffer of memory_gb; windows of videos that are not
    near each other in that epoch's order never share a batch, so batches differ more in their mix of classes. global:
    every order alike, each window read from the disk by itself, which is slow"""
    seed: int = 0
    """seed of initial weights, order of windows and dropout"""

    # ---- machine
    backend: Literal["jax", "c", "numba"] = "jax"
    """what the graph is compiled to"""
    floatX: Literal["float32", "float64"] = "float32"
    """precision of parameters and computation; float64 is for checks"""
    matmul: Literal["float32", "tf32", "bfloat16"] = "float32"
    """precision of matrix products on a GPU (on a CPU always float32)"""
    devices: int = 1
    """JAX devices (GPUs) that share a batch, each taking a part of its windows; divides batch_size"""
    memory_gb: float = 4.0
    """a frame table up to this size is held in memory; a larger one is read from disk through a buffer of this size,
    and batches read ahead come on top"""
    checkpoint_seconds: float = 60.0
    """a checkpoint is written this often, at the end of each epoch and on interruption"""

    def __post_init__(self):
        least = dict.fromkeys(
            ("alpha_c", "decay_c", "temperature_inverse", "last_n", "seed", "lrate", "memory_gb", "checkpoint_seconds"),
            0,
        )
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), getattr(field.type, "__args__", None)
            if choices:
                _expect(value in choices, field.name, value, "one of " + ", ".join(choices))
            elif field.type in (int, float):
                number = (int,) if field.type is int else (int, float)
                _expect(
                    isinstance(value, number), field.name, value, "a whole number" if field.type is int else "a number"
                )
                bound = least.get(field.name, 1)
                _expect(bound <= value < float("inf"), field.name, value, f"at least {bound}")
        if self.devices > 1:
            _expect(self.backend == "jax", "devices", self.devices, f"1 with backend {self.backend}")
            _expect(
                self.batch_size % self.devices == 0,
                "devices",
                self.devices,
                f"a divisor of batch_size {self.batch_size}",
            )
        _expect(self.n_layers_lstm <= 5, "n_layers_lstm", self.n_layers_lstm, "1 to 5")
        if self.pooling == "attention" and self.attention == "location":
            _expect(self.n_layers_att == 1, "n_layers_att", self.n_layers_att, "1 with attention location")

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


def _expect(good, name, value, expected):
    if not good:
        raise ValueError(f"option {name} is {value!r}; expected {expected}")


# What Table 1's rows change in a recipe, in the paper's order; the last row is not the paper's.
MODELS = {
    "softmax_regression": {"pooling": "cube"},
    "average_pooled_lstm": {"pooling": "mean"},
    "max_pooled_lstm": {"pooling": "max"},
    "attention_lambda0": {"pooling": "attention", "alpha_c": 0.0},
    "attention_lambda1": {"pooling": "attention", "alpha_c": 1.0},
    "attention_lambda10": {"pooling": "attention", "alpha_c": 10.0},
    "attention_mlp_lambda0": {"pooling": "attention", "attention": "mlp", "alpha_c": 0.0},
}

TITLES = {
    "softmax_regression": "Softmax regression (full cube)",
    "average_pooled_lstm": "Average pooled LSTM",
    "max_pooled_lstm": "Max pooled LSTM",
    "attention_lambda0": "Soft attention, λ = 0",
    "attention_lambda1": "Soft attention, λ = 1",
    "attention_lambda10": "Soft attention, λ = 10",
    "attention_mlp_lambda0": "Soft attention by MLP, λ = 0 (not in the paper)",
}

# Sizes of the embedded data set: they suit a small set and two cores.
_EMBEDDED = {"n_actions": 8, "ctx_dim": 64, "dim": 64, "dim_out": 64, "batch_size": 32, "training_stride": 3}
# What the released program does differently whatever the data set (its src/actrec.py).
_RELEASED = {
    "attention": "mlp",
    "n_layers_lstm": 1,
    "n_layers_init": 1,
    "dropout": "released",
    "cost": "released",
    "init": "released",
    "video_score": "vote",
}

# What a recipe changes in Options' defaults on each data set.
RECIPES = {
    "paper": {
        "ucf11": {"n_actions": 11},
        "hmdb51": {"n_actions": 51, "dim": 1024, "dim_out": 1024},
        "hollywood2": {"n_actions": 12, "multilabel": True},
        # A rate that gets somewhere in the few updates that so small a set leaves (some 450 in 15 epochs).
        "embedded": {**_EMBEDDED, "lrate": 3e-3},
    },
    # The settings of the released program's scripts/evaluate_{ucf11,hmdb51gln,mAP}.py.
    "released": {
        "ucf11": {**_RELEASED, "n_actions": 11, "optimizer": "adam_released", "lrate": 1e-4, "last_n": 30},
        "hmdb51": {**_RELEASED, "n_actions": 51, "dim": 1024, "dim_out": 1024, "n_layers_att": 3, "optimizer": "sgd",
                   "lrate": 1e-5, "last_n": 16},
        "hollywood2": {**_RELEASED, "n_actions": 12, "multilabel": True, "optimizer": "sgd", "lrate": 1e-4,
                       "last_n": 16},
        # As for UCF-11, where the released program's optimizer is the one that gets somewhere.
        "embedded": {**_RELEASED, **_EMBEDDED, "optimizer": "adam_released", "lrate": 1e-4, "last_n": 30},
    },
}  # fmt: skip
DATA_SETS = tuple(RECIPES["paper"])


def recipe(name, data_set, model="attention_lambda0", **changes):
    """Options of a cell of Table 1: `recipe("paper", "ucf11", "attention_lambda10", seed=1)`."""
    return Options(**{**RECIPES[name][data_set], **MODELS[model], **changes})


# Options that are numbers inside one and the same compiled graph, or outside of it altogether.
NOT_IN_GRAPH = (
    "alpha_c", "decay_c", "lrate", "init", "seed", "max_epochs", "fps", "training_stride", "testing_stride", "last_n",
    "video_score", "shuffle", "memory_gb", "checkpoint_seconds",
)  # fmt: skip


def graph_options(options):
    """Options without those that do not change the compiled graph."""
    default = type(options)()
    return options.replace(**{name: getattr(default, name) for name in NOT_IN_GRAPH})

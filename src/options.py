"""All options in one dataclass, and the recipes: the values of the paper and of the released program per data set."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from visual_attention.attention import ATTENTION
from visual_attention.focus import FOCUS
from visual_attention.optimizers import OPTIMIZERS
from visual_attention.reinforce import BASELINES
from visual_attention.util import data_sets

# The graph is built layer by layer, so an absurd number of layers would keep a machine busy for hours.
MOST_LAYERS = 100
Pooling = Literal["attention", "mean", "max", "cube"]
# With focus hard, what glimpse_test changes in the graph that predicts.
TEST_GLIMPSES = {"likeliest": {"focus": "hybrid", "top_k": 1}, "expectation": {"focus": "soft"}, "samples": {}}


@dataclass(frozen=True)
class Options:
    """All options of a run. Defaults: recipe `paper`, UCF-11.

    Options that the released program also has carry its names. ValueError: a value is out of range. The message names
    the option, the value and what was expected.
    """

    # ---- the model's graph
    pooling: Pooling = "attention"
    """how a cube becomes the LSTM's input: soft attention (Eq. 5), or mean or maximum over locations;
    cube: no LSTM, softmax regression on the whole cube"""
    attention: Literal[tuple(ATTENTION)] = "location"
    """kind of attention (src/attention.py). location: Eq. 4, from the previous state alone; mlp: the released
    program's, which also sees the current cube; given: location weights are an input, only to draw figures"""
    n_layers_att: int = 1
    """layers of mlp attention before the one that scores locations; all but one see the cube alone"""
    temperature_inverse: float = 1.0
    """factor of the scores of locations before the softmax"""
    focus: Literal[tuple(FOCUS)] = "soft"
    """locations that the LSTM's input is made of (src/focus.py). soft: all, weighted (Eq. 5); hard: one, drawn from the
    weights, trained by REINFORCE (src/reinforce.py); hybrid: the top_k of the largest weights"""
    top_k: int = 4
    """k of focus hybrid: locations of a step whose features are read"""
    selector: bool = False
    """scale the attended vector by a gate between 0 and 1 that is computed from the previous state"""
    n_layers_lstm: int = 3
    """stacked LSTM layers, 1 to 5"""
    dim: int = 512
    """d, size of each LSTM layer"""
    dim_out: int = 512
    """size of the tanh hidden layer before the class softmax"""
    ctx2out: bool = False
    """the tanh hidden layer sees the attended vector too, not only the LSTM's state"""
    n_layers_out: int = 1
    """hidden layers before the class softmax: the tanh layer, then rectifiers"""
    ctx_dim: int = 1024
    """D, depth of the features at a location"""
    n_locations: int = 49
    """L, locations of a cube"""
    resolutions: Literal["one", "both", "choose"] = "one"
    """layers of the network that a glimpse sees (src/resolutions.py), if the frame table has two, a coarse and a fine
    one. one: the coarse one; both: a softmax over the locations of both; choose: a softmax over the two layers, then
    one over the locations of each"""
    fine_locations: int = 0
    """locations of the fine layer; 0: the frame table has one layer"""
    fine_dim: int = 0
    """depth of the fine layer's features"""
    common_dim: int = 512
    """depth to which the features of two layers are projected"""
    n_actions: int = 11
    """C, classes"""
    multilabel: bool = False
    """a video has several labels: sigmoid instead of softmax, mean average precision instead of accuracy"""
    # The paper says only that f_init are multilayer perceptrons. The released program has one rectifier layer of width
    # D that all of them share, then a tanh layer for each h_0 and c_0.
    n_layers_init: int = 2
    """layers of f_init (Eq. 6), the last one tanh"""
    # The paper does not say how dropout is compensated in testing. We double in training what remains. h_{t-1} of Eq. 4
    # comes from another time step: it counts as recurrent and has no dropout. There is none on Eq. 6's mean cube, where
    # dropped entries would change the scale of an average. There is none in softmax regression.
    use_dropout: bool = True
    """dropout 0.5"""
    dropout: Literal["paper", "released"] = "paper"
    """paper: on all non-recurrent connections; what remains is doubled in training. released: none on the LSTM's
    inputs; everything is halved in testing instead"""

    # ---- the cost (Eq. 7)
    # The paper does not say whether the windows of a batch are summed or averaged, nor how masks enter its penalty. We
    # average, so that lambda, gamma and the rate mean the same for every batch size. We leave out masked steps.
    cost: Literal["paper", "released"] = "paper"
    """paper: Eq. 7 for a window, averaged over a batch; released: cross-entropy of p + 1e-8, summed over a batch, and
    a penalty that is a mean over locations and does not use masks"""
    alpha_c: float = 0.0
    """lambda, weight of the doubly stochastic penalty"""
    decay_c: float = 1e-5
    """gamma, weight decay of all parameters, biases too"""

    # ---- focus hard
    baseline: Literal[tuple(BASELINES)] = "moving"
    """what REINFORCE subtracts from the reward of a draw. moving: its average over past updates, for each step; state:
    a linear function of the LSTM's state, trained by squared error; none: nothing"""
    entropy_c: float = 0.0
    """weight of the entropy of the location weights, which the cost is lowered by"""
    half_expectation: bool = False
    """half of the training windows, chosen anew in each update, get the expectation (soft) instead of draws"""
    glimpse_test: Literal[tuple(TEST_GLIMPSES)] = "likeliest"
    """what the LSTM's input is in testing. likeliest: the location of the largest weight; expectation: as soft;
    samples: class probabilities are means over n_samples paths that are drawn"""
    n_samples: int = 10
    """paths per window with glimpse_test samples"""

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
    """number of last steps that decide a window's class; 0: all"""
    video_score: Literal["average", "vote"] = "average"
    """a video's class: from class probabilities averaged over its windows, or the most frequent class of its windows
    (the smaller number of several; with multilabel always the average)"""

    # ---- training
    optimizer: Literal[tuple(OPTIMIZERS)] = "adam"
    """how parameters are updated; adam is the textbook's, the others are the released program's; of the others, only
    sgd uses lrate"""
    # The paper does not state it. 1e-3 is Adam's default.
    lrate: float = 1e-3
    """learning rate"""
    # The paper does not state it. The released program draws 0.01 N(0, 1) for its one layer. Each of three layers would
    # shrink the signal.
    init: Literal["glorot", "released"] = "glorot"
    """initial weights: glorot (uniform), or the released program's 0.01 N(0, 1); square matrices orthogonal in both"""
    max_epochs: int = 15
    """epochs"""
    batch_size: int = 128
    """B, windows per update"""
    shuffle: Literal["buffer", "global"] = "buffer"
    """order of training windows if the frame table is larger than memory_gb (otherwise always global). buffer: whole
    videos are read in random order, and windows are drawn from those in a buffer of memory_gb. Videos that are far
    apart in an epoch's order never share a batch, so the mix of classes varies more between batches. global: all orders
    are equally likely; each window is read from disk by itself, which is slow"""
    seed: int = 0
    """seed of the initial weights, the order of windows and dropout"""

    # ---- machine
    backend: Literal["jax", "c", "numba"] = "jax"
    """what the graph is compiled to"""
    plain: bool = False
    """compile the graph as the equations state it, without the speed layer (src/fast): the same numbers, but slower"""
    floatX: Literal["float32", "float64"] = "float32"
    """precision of parameters and computation; float64 is for checks"""
    matmul: Literal["float32", "tf32", "bfloat16"] = "float32"
    """precision of matrix products on a GPU (on a CPU always float32)"""
    devices: int = 1
    """JAX devices (GPUs) that share a batch, each with a part of its windows; divides batch_size"""
    memory_gb: float = 4.0
    """a frame table up to this size is held in memory; a larger one is read from disk through a buffer of this size,
    and batches that are read ahead take more memory"""
    checkpoint_seconds: float = 60.0
    """a checkpoint is written this often, at the end of each epoch and on interruption"""

    def __post_init__(self):
        least = dict.fromkeys(
            (
                "alpha_c", "decay_c", "entropy_c", "temperature_inverse", "last_n", "seed", "lrate", "memory_gb",
                "checkpoint_seconds", "fine_locations", "fine_dim",
            ),
            0,
        )  # fmt: skip
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), getattr(field.type, "__args__", None)
            if choices:
                _expect(value in choices, field.name, value, "one of " + ", ".join(choices))
            elif field.type is bool:
                _expect(isinstance(value, bool), field.name, value, "True or False")
            elif field.type in (int, float):
                number = (int,) if field.type is int else (int, float)
                _expect(
                    isinstance(value, number), field.name, value, "a whole number" if field.type is int else "a number"
                )
                bound = least.get(field.name, 1)
                _expect(bound <= value < float("inf"), field.name, value, f"at least {bound}")
                most = MOST_LAYERS if field.name.startswith("n_layers") else 2**31 - 1
                _expect(field.type is float or value <= most, field.name, value, f"{bound} to {most}")
        if self.devices > 1:
            _expect(self.backend == "jax", "devices", self.devices, f"1 with backend {self.backend}")
            _expect(not self.plain, "devices", self.devices, "1 with option plain")
            _expect(
                self.batch_size % self.devices == 0,
                "devices",
                self.devices,
                f"a divisor of batch_size {self.batch_size}",
            )
        _expect(self.n_layers_lstm <= 5, "n_layers_lstm", self.n_layers_lstm, "1 to 5")
        if self.pooling == "attention" and self.attention != "mlp":
            _expect(self.n_layers_att == 1, "n_layers_att", self.n_layers_att, f"1 with attention {self.attention}")
        if self.focus != "soft":
            attends = self.pooling == "attention" and self.attention != "given"
            kind = "pooling " + self.pooling if self.pooling != "attention" else "attention given"
            _expect(attends, "focus", self.focus, f"soft with {kind}")
            _expect(self.resolutions == "one", "focus", self.focus, f"soft with resolutions {self.resolutions}")
        if self.focus == "hard":
            _expect(self.cost == "paper", "focus", self.focus, "soft or hybrid with cost released")
        if self.focus == "hybrid":
            _expect(self.top_k <= self.n_locations, "top_k", self.top_k, f"at most n_locations {self.n_locations}")

        if self.resolutions != "one":
            two = self.fine_locations and self.fine_dim
            one = "'one', as the frame table has one layer; extract two by --layers 2"
            _expect(two, "resolutions", self.resolutions, one)
            _expect(self.pooling != "cube", "resolutions", self.resolutions, "'one' with pooling cube")

    @property
    def depth(self):
        """Depth D of the cubes that are attended to: ctx_dim, or common_dim where they are of two layers."""
        return self.ctx_dim if self.resolutions == "one" else self.common_dim

    @property
    def all_locations(self):
        """Number of locations that a glimpse weighs."""
        return self.n_locations + (self.fine_locations if self.resolutions != "one" else 0)

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


def _expect(good, name, value, expected):
    if not good:
        raise ValueError(f"option {name} is {value!r}; expected {expected}")


_HARD = {"focus": "hard", "half_expectation": True, "cost": "paper"}
# What each row of Table 1 changes in a recipe, in the paper's order. The rows after the sixth are not in the paper.
MODELS = {
    "softmax_regression": {"pooling": "cube"},
    "average_pooled_lstm": {"pooling": "mean"},
    "max_pooled_lstm": {"pooling": "max"},
    "attention_lambda0": {"pooling": "attention", "alpha_c": 0.0},
    "attention_lambda1": {"pooling": "attention", "alpha_c": 1.0},
    "attention_lambda10": {"pooling": "attention", "alpha_c": 10.0},
    "attention_mlp_lambda0": {"pooling": "attention", "attention": "mlp", "alpha_c": 0.0},
    "hard_location": {"pooling": "attention", "alpha_c": 0.0, **_HARD},
    "hybrid_location": {"pooling": "attention", "alpha_c": 0.0, "focus": "hybrid", "top_k": 4},
    "hard_mlp": {"pooling": "attention", "attention": "mlp", "alpha_c": 0.0, **_HARD},
    "hybrid_mlp": {"pooling": "attention", "attention": "mlp", "alpha_c": 0.0, "focus": "hybrid", "top_k": 4},
}
TABLE1 = tuple(MODELS)[:7]  # the rows that the table has unless others are asked for

TITLES = {
    "softmax_regression": "Softmax regression (full cube)",
    "average_pooled_lstm": "Average pooled LSTM",
    "max_pooled_lstm": "Max pooled LSTM",
    "attention_lambda0": "Soft attention, λ = 0",
    "attention_lambda1": "Soft attention, λ = 1",
    "attention_lambda10": "Soft attention, λ = 10",
    "attention_mlp_lambda0": "Soft attention by MLP, λ = 0 (not in the paper)",
    "hard_location": "Hard attention (not in the paper)",
    "hybrid_location": "Hybrid attention, k = 4 (not in the paper)",
    "hard_mlp": "Hard attention by MLP (not in the paper)",
    "hybrid_mlp": "Hybrid attention by MLP, k = 4 (not in the paper)",
}

# What each recipe changes on every data set. `released`: the values in the released program's src/actrec.py.
_RECIPES = {
    "paper": {},
    "released": {
        "attention": "mlp",
        "n_layers_lstm": 1,
        "n_layers_init": 1,
        "dropout": "released",
        "cost": "released",
        "init": "released",
        "video_score": "vote",
    },
}
# Recipe -> data set -> options that differ from their defaults. Those of a data set are in util/data_sets/.
RECIPES = {
    name: {data_set.name: changes | data_set.options(name) for data_set in data_sets.DATA_SETS.values()}
    for name, changes in _RECIPES.items()
}
DATA_SETS = tuple(RECIPES["paper"])


def recipe(name, data_set, model="attention_lambda0", **changes):
    """Options for a cell of Table 1: `recipe("paper", "ucf11", "attention_lambda10", seed=1)`."""
    return Options(**{**RECIPES[name][data_set], **MODELS[model], **changes})


# Options that do not change the compiled graph: they are inputs of it, or are used outside of it.
NOT_IN_GRAPH = (
    "alpha_c", "decay_c", "lrate", "init", "seed", "max_epochs", "glimpse_test", "n_samples", "fps", "training_stride",
    "testing_stride", "last_n", "video_score", "shuffle", "memory_gb", "checkpoint_seconds",
)  # fmt: skip


def graph_options(options):
    """The options, with defaults for those that do not change the compiled graph."""
    default = type(options)()
    return options.replace(**{name: getattr(default, name) for name in NOT_IN_GRAPH})

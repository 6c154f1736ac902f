"""Why does hybrid attention by MLP look away from the figure? How its training starts, on the embedded data set.

    python benchmarks/hybrid_start.py

trains row hybrid_mlp of Table 1 and variants of it. It prints, by update, the share of attention on the figure and the
cross-entropy of a step, over the validation windows; then the share and the accuracy of the best model, over the test
videos. docs/hard_attention.md shows the result.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.commands import command_line, exit_status
from visual_attention.experiment.data import load_coverage, load_parts
from visual_attention.experiment.evaluation import evaluate, predictions
from visual_attention.experiment.parameters import params_of
from visual_attention.model import model_for
from visual_attention.options import recipe
from visual_attention.presentation.figures.study import location_weights, set_params
from visual_attention.util.embedded import make_embedded
from visual_attention.util.tables import markdown

# Options that differ from the row's; epochs of soft attention at the start; epochs in which attention is not trained.
VARIANTS = {
    "k = 4": ({}, 0, 0),
    "k = 8": ({"top_k": 8}, 0, 0),
    "k = 16": ({"top_k": 16}, 0, 0),
    "k = 32": ({"top_k": 32}, 0, 0),
    "soft": ({"focus": "soft"}, 0, 0),
    "k = 4, no dropout": ({"use_dropout": False}, 0, 0),
    "k = 4, soft in epoch 1": ({}, 1, 0),
    "k = 4, soft in epochs 1 to 3": ({}, 3, 0),
    "k = 4, attention fixed in epoch 1": ({}, 0, 1),
}
SHOWN = (0, 1, 5, 10, 40)  # updates; an epoch has 49


@dataclass(frozen=True)
class Arguments:
    data: Path = Path("data/embedded")
    """folder in which the data set is made, or found"""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """what to train"""
    seeds: int = 3
    """runs of each"""
    unit: bool = False
    """divide the features of each location by their norm, so that no location is stronger than another"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    data, rows = make_embedded(arguments.data), []
    parts = load_parts(data, recipe("paper", "embedded", "hybrid_mlp"))
    if arguments.unit:
        for part in parts.values():
            part.memory /= np.maximum(np.linalg.norm(part.memory, axis=2, keepdims=True), 1e-3)
    for variant in arguments.variants:
        for seed in range(arguments.seeds):
            rows.append([variant, str(seed), *train(parts, seed, *VARIANTS[variant])])
            print(*rows[-1], sep=" | ", flush=True)
    print(markdown(["", "seed", *(f"update {k}" for k in SHOWN), "on figure %", "accuracy %"], rows))


def train(parts, seed, changes, soft_epochs, fixed_epochs):
    """The cells of a run."""
    options, data = recipe("paper", "embedded", "hybrid_mlp", seed=seed, **changes), parts["train"]
    model = model_for(options, data.table.dtype)
    if soft_epochs:  # a model of the same parameters
        soft = model_for(options.replace(focus="soft"), data.table.dtype)
        soft.tparams, soft.optimizer_state = model.tparams, model.optimizer_state
    untrained = {name: model.tparams[name].get_value() for name in location_weights(options)}
    frames, cells, best = model.frames(data.memory), [], (-1, None)
    for epoch in range(options.max_epochs):
        now = soft if epoch < soft_epochs else model
        order = data.shuffled(np.random.default_rng([seed, 1, epoch]))
        for k, batch in enumerate(data.batches(order, options.batch_size, frames=frames)):
            if epoch == 0 and k in SHOWN:
                cells.append(look(now, parts["valid"]))
            now.update(batch, np.random.default_rng([seed, 2, epoch, k]))
            if epoch < fixed_epochs:
                set_params(model, untrained)
        _, score, _ = evaluate(model, parts["valid"])
        if score > best[0]:
            best = score, params_of(model)
    set_params(model, best[1])
    _, score, share = evaluate(model, parts["test"], load_coverage(parts["test"]))
    return *cells, f"{100 * share:.1f}", f"{score:.1f}"


def look(model, data):
    """A cell such as 33.8 (2.083): the share of attention on the figure in percent, and the cross-entropy of a step."""
    coverage, shares, entropies = load_coverage(data), [], []
    for chosen, probs, alpha in predictions(model, data):
        shares.append((alpha * coverage[data.index[:, chosen]]).sum(axis=-1).ravel())
        entropies.append(-np.log(probs[:, np.arange(len(chosen)), data.labels[data.video[chosen]]]).ravel())
    return f"{100 * np.concatenate(shares).mean():.1f} ({np.concatenate(entropies).mean():.3f})"


if __name__ == "__main__":
    exit_status.run(main)

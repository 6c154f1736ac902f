"""Figs. 1, 4, 6, 8, 10, 11: attention over time."""

from visual_attention.options import TITLES
from visual_attention.presentation import pictures
from visual_attention.presentation.figures import Figure
from visual_attention.util import drawing

HEADING, POSITION = "Attention over time", 20


def draw(runs, folder):
    """A Figure for each model: the chosen videos, or up to two classified correctly and two classified wrongly."""
    figures = []
    for model in runs.drawn_models():
        videos = runs.chosen or pictures.right_and_wrong(runs.probs[runs.run(model)], runs.data)
        path = folder / f"over_time_{model}.png"
        drawing.save(drawing.stack([runs.watch(model, int(k)).strip() for k in videos]), path)
        how = "as chosen" if runs.chosen else "selected at random from those classified correctly and those not"
        figures.append(
            Figure(
                f"{TITLES[model]}: attention over time, as in the paper's Figs. 1, 4, 6, 8, 10 and 11. Test videos "
                f"{how}. Top: frames of the first window. Bottom: the same frames, bright where the model looks. "
                f"Step t of {runs.options.maxlen}.",
                path,
            )
        )
    return figures

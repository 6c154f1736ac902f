"""Confusion matrices of the drawn models, over all their runs."""

import numpy as np

from visual_attention.options import TITLES
from visual_attention.presentation.figures import Figure
from visual_attention.util import drawing
from visual_attention.util.data_lists import read_class_names

HEADING, POSITION = "Confusion", 10


def draw(runs, folder):
    """A Figure for each model."""
    if runs.options.multilabel:
        return [Figure("There is no confusion matrix where videos have several labels.")]
    names, figures = read_class_names(runs.data_folder, runs.options.n_actions), []
    for model in runs.drawn_models():
        path, matrices = folder / f"confusion_{model}.png", []
        for run in runs.runs[model]:
            matrices.append(runs.results[run]["confusion_matrix"])
        drawing.confusion(path, np.sum(matrices, axis=0), names)
        caption = f"{TITLES[model]}: test videos by true and predicted class, summed over {len(matrices)} run(s)."
        figures.append(Figure(caption, path))
    return figures

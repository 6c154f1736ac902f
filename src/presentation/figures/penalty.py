"""Fig. 3: one video under models trained with different weights λ of the penalty."""

from visual_attention.options import TITLES
from visual_attention.presentation import pictures
from visual_attention.presentation.figures import Figure

HEADING, POSITION = "λ", 30
MODELS = ("attention_lambda0", "attention_lambda1", "attention_lambda10")


def draw(runs, folder):
    models = [model for model in MODELS if model in runs.runs]
    if len(models) < 2:
        return [Figure("Fig. 3 needs runs with at least two values of λ.")]
    k, T, rows = runs.example(models[0]), runs.options.maxlen, []
    for model in models:
        watched = runs.watch(model, k)
        rows.append((f"{TITLES[model]}:  {watched.verdict}", watched.alpha[:T], watched.right))
    frames = None if watched.frames is None else watched.frames[:T]
    pictures.compare_glimpses(folder / "lambda.png", watched.video, frames, rows, runs.options.n_locations)
    caption = (
        "The same video with different weights λ of the penalty that makes the model look at every location over time, "
        "as in the paper's Fig. 3. Each row is a model trained separately. All rows have the same brightness scale."
    )
    return [Figure(caption, folder / "lambda.png")]

"""What hard attention draws: several samples of the same test videos."""

from visual_attention.options import TITLES
from visual_attention.presentation import pictures
from visual_attention.presentation.figures import Figure
from visual_attention.util import drawing

HEADING, POSITION = "Drawn locations", 45
MODELS = ("hard_location", "hard_mlp")
N_VIDEOS, N_SAMPLES = 2, 3


def draw(runs, folder):
    """A Figure for each model with hard attention, or one that says that there is none."""
    models = [model for model in MODELS if model in runs.runs]
    if not models:
        return [Figure(f"No run draws locations. visual-attention table1 --models {' '.join(MODELS)} trains some.")]
    figures = []
    for model in models:
        path = folder / f"drawn_samples_{model}.png"
        videos = runs.chosen or runs.correct_videos(model)[:N_VIDEOS] or [0]
        drawing.save(drawing.stack([draw_video(runs, model, int(k)) for k in videos]), path)
        figures.append(
            Figure(
                f"{TITLES[model]}: frames of a test video, the weights of which locations are drawn, and {N_SAMPLES} "
                "samples. The lightest square is the location that the sample sees. Later weights depend on earlier "
                "draws; those shown belong to the expectation. The class of each row is that of the whole video.",
                path,
            )
        )
    return figures


def draw_video(runs, model, k):
    """A picture of video k: a strip of the expectation, and one of each sample, whose seed is its number."""
    trained, frames, T = runs.load_model(runs.run(model)), runs.frames(k), runs.options.maxlen
    ways = {"expectation": {"glimpse_test": "expectation"}}
    ways |= {f"sample {s}": {"glimpse_test": "samples", "n_samples": 1, "seed": s - 1} for s in range(1, N_SAMPLES + 1)}
    strips = []
    for name, changes in ways.items():
        watched = pictures.watch_video(trained.tested_by(**changes), runs.data, k, frames)
        shown = None if watched.frames is None else watched.frames[:T]
        rows = [shown] if shown is not None and not strips else []
        rows.append(drawing.glimpses(shown, watched.alpha[:T]))
        strips.append(drawing.strip(rows, f"{watched.video}, {name}:  {watched.verdict}", watched.right))
    return drawing.stack(strips)

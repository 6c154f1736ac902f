"""Fig. 7: one video at two frame rates."""

from visual_attention.options import TITLES
from visual_attention.presentation.figures import Figure
from visual_attention.util import drawing

HEADING, POSITION = "Frame rate", 50


def draw(runs, folder):
    """The first chosen video, or else the longest that is classified correctly."""
    model, trained_fps, table_fps = runs.choices.model, runs.options.fps, runs.data.table.fps
    other_fps = runs.choices.fps or next(fps for fps in range(6, 0, -1) if table_fps % fps == 0)
    if table_fps % other_fps:
        return [Figure(f"Fig. 7: {other_fps} frames per second does not divide the features' {table_fps}.")]
    longest_first = sorted(runs.correct_videos(model), key=lambda k: -runs.data.lists.frame_numbers[k])
    k, strips = (runs.chosen or longest_first or [0])[0], []
    for fps in dict.fromkeys((other_fps, trained_fps)):
        watched = runs.watch(model, k, runs.data if fps == trained_fps else runs.load_data(fps=fps))
        watched.verdict = f"{fps} frames per second, {watched.verdict}"
        strips.append(watched.strip(ticks=[f"{row / table_fps:.2f} s" for row in watched.rows]))
    path = folder / "fps.png"
    drawing.save(drawing.stack(strips), path)
    caption = (
        f"The same video at {other_fps} and at {trained_fps} frames per second, as in the paper's Fig. 7, by the same "
        f"model ({TITLES[model]}), which was trained at {trained_fps}. A window has {runs.options.maxlen} steps at "
        "both rates. A shorter video is padded with its last frame, which is drawn once."
    )
    return [Figure(caption, path)]

"""The player, a page beside the page of figures: presentation/player.py."""

from visual_attention.presentation import player
from visual_attention.presentation.figures import Figure

HEADING, POSITION = "Player", 100


def draw(runs, folder):
    """Writes player.html. It shows all rows that have runs, and the chosen videos, then others to make a dozen."""
    models = {name: runs.load_model(runs.run(name)) for name in player.in_order(runs.runs)}
    videos = player.choose_videos(runs.probs[runs.run(next(iter(models)))], runs.data, runs.chosen)
    path = folder.parent / "player.html"
    player.make_player(path, runs.folder.name, models, runs.data, videos, runs.frames)
    text = (
        f"A page that plays {len(videos)} test videos with the glimpses and class probabilities of all models. A "
        "glimpse can be given by hand: drag a spotlight over a video, and see what the model then says."
    )
    return [Figure(text, link=path.name)]

"""The finished runs of a data set that figures are drawn from, and what a user may choose about them."""

from dataclasses import dataclass
from pathlib import Path

from visual_attention.experiment import run_folder
from visual_attention.experiment.data import load_part
from visual_attention.experiment.parameters import load_params
from visual_attention.model import Functions, Model
from visual_attention.options import MODELS, graph_options
from visual_attention.presentation import DRAWN, pictures
from visual_attention.util import checks
from visual_attention.util.metrics import grid_side

ATTENTION = tuple(name for name, model in MODELS.items() if model["pooling"] == "attention")


@dataclass(frozen=True)
class Choices:
    """What to draw."""

    video: tuple[str, ...] = ()
    """test videos to show, lines of test_filename.txt; by default chosen at random"""
    model: str = "attention_lambda0"
    """row of Table 1 that Figs. 5 and 7 show; attention over time and Fig. 9 show others too"""
    seed: int = 0
    """the run that pictures are drawn from; numbers are means over all runs"""
    glimpse: str | None = None
    """the glimpse of Fig. 5: row,column,width in locations, such as 3,5.5,2, or a .json file of weights; by default a
    single location that changes the class"""
    fps: int | None = None
    """the second frame rate of Fig. 7; by default 6, or the next lower one that divides that of the features"""
    studies: int = 8
    """videos per model in the glimpse study, Fig. 9; 0: no study"""
    videos: Path | None = None
    """folder of the videos, if it is no longer where the features' dataset.json says"""
    data: Path | None = None
    """folder of the data set (of a single split), if it is no longer where the runs were trained"""


class Runs:
    """Finished runs, <folder>[/<split>]/<model>/seed<k>, with their test data and the frames of its videos.

        runs = Runs("runs/embedded", Choices())
        runs.watch("attention_lambda0", 3).strip()

    options, data: of the chosen model's run. runs: model -> its run folders. probs, results: run folder -> what its
    predictions.csv and result.json contain. chosen: numbers of the videos that the user chose. frames_missing: why
    frames are not available, or None. FileNotFoundError, ValueError: there are no runs, or the choices don't fit them.
    """

    def __init__(self, folder, choices):
        self.folder, self.choices = Path(folder), choices
        checks.check_links(folder)  # pictures are written there
        self.runs = find_runs(self.folder)
        if choices.model not in ATTENTION or choices.model not in self.runs:
            available = ", ".join(model for model in ATTENTION if model in self.runs)
            raise FileNotFoundError(
                f"{folder}: holds no finished run of {choices.model!r}, a model that attends; expected one of "
                f"{available or 'those that visual-attention table1 makes'}"
            )
        self.options, trained_on = run_folder.load_options(self.run(choices.model))
        grid_side(self.options.n_locations)  # an error now, not after the figures that need no grid
        self.data_folder = choices.data or trained_on
        self.data = self.load_data()
        names = self.data.lists.filenames
        for name in choices.video:
            if name not in names:
                raise ValueError(
                    f"{self.data_folder}/test_filename.txt: names no video {name!r}; "
                    f"expected one of its lines, such as {names[0]!r}"
                )
        self.chosen = [names.index(name) for name in choices.video]
        all_runs = [run for runs in self.runs.values() for run in runs]
        self.probs = {run: run_folder.load_predictions(run, len(names)) for run in all_runs}
        self.results = {run: run_folder.load_result(run) for run in all_runs}
        self.frames_missing = None
        self._frames, self._functions = {}, {}

    def run(self, name):
        """Folder of the run of a model that is drawn: the run with the chosen seed, or else the first."""
        with_seed = [run for run in self.runs[name] if run.name == f"seed{self.choices.seed}"]
        return with_seed[0] if with_seed else self.runs[name][0]

    def load_data(self, **changes):
        """The test part, with these changes of options."""
        return load_part(self.data_folder, "test", self.options.replace(**changes))

    def load_model(self, run):
        """The trained model of a run. Models with the same graph share its compiled functions."""
        options = run_folder.load_options(run)[0]
        graph = graph_options(options)
        if graph not in self._functions:
            self._functions[graph] = Functions(graph, self.data.table.dtype)
        model = Model(options, functions=self._functions[graph], started=False)
        load_params(model, run / "model.npz")
        return model

    def frames(self, k):
        """All frames of video k, (n, H, H, 3) uint8, or None, and `frames_missing` says why."""
        if k not in self._frames:
            try:
                self._frames[k] = pictures.read_frames(self.data, k, self.choices.videos)
            except (OSError, ValueError, ImportError) as error:
                self._frames[k], self.frames_missing = None, str(error)
        return self._frames[k]

    def watch(self, name, k, data=None):
        """Video k under the drawn run of a model. data: the test part at another frame rate."""
        return pictures.watch_video(self.load_model(self.run(name)), data or self.data, k, self.frames(k))

    def drawn_models(self):
        """The chosen model, then those of DRAWN that have runs."""
        return [name for name in dict.fromkeys((self.choices.model, *DRAWN)) if name in self.runs]

    def correct_videos(self, name):
        """Chosen videos, then those that the model classifies correctly, in random order."""
        probs = self.probs[self.run(name)]
        order = pictures.right_and_wrong(probs, self.data, n=len(probs))
        correct = [int(k) for k in order if pictures.is_right(self.data, k, probs[k])]
        return list(dict.fromkeys(self.chosen + correct))

    def example(self, name):
        """The first of `correct_videos`; if there is none, the first video."""
        return (self.correct_videos(name) or [0])[0]


def find_runs(folder):
    """Finished runs, model -> run folders; of several splits only the first that has any."""
    for parent in (folder, *sorted(folder.glob("split*"))):
        runs = {model: sorted(path.parent for path in parent.glob(f"{model}/seed*/result.json")) for model in MODELS}
        if runs := {model: folders for model, folders in runs.items() if folders}:
            return runs
    return {}

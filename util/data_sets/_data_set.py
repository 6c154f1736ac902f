"""What the program knows about a named data set."""

from collections.abc import Callable
from dataclasses import dataclass, field

# What the released program's script for UCF-11 sets. Of its three scripts, this one has an optimizer that trains fast.
RELEASED_UCF11 = {"optimizer": "adam_released", "lrate": 1e-4, "last_n": 30}


@dataclass(frozen=True)
class VideoFiles:
    """Where the videos and the official split files of a data set are, and the rule that makes lists of them.

    Names of videos are paths relative to the root, with /. Errors of the functions name the file and line, what was
    expected, and what to do.
    """

    archive_folders: tuple[str, ...]
    """folders to which the archives unpack: each is a root"""
    build_lists: Callable
    """(names of all videos, official) -> ({folder below data_lists/: {part: DataLists}}, names of the classes in
    order); raises ValueError if a video is missing"""
    video_folder: str = ""
    """folder of the videos below the root"""
    unused_prefixes: tuple[str, ...] = ()
    """beginnings of the file names of videos that this program does not use"""
    official_folder: str = ""
    """folder of the official split files, in the root or beside it"""
    official_pattern: str = ""
    """pattern of the names of these files"""
    read_official: Callable | None = None
    """folder -> what the official files say, for `build_lists`; None: there is no official split"""
    unused_names: Callable = lambda official: set()
    """what the official files say -> names in them that are in no list"""
    official_names: Callable | None = None
    """what the official files say -> names of all videos in lists; needed only if data_lists/ has no lists yet"""


@dataclass(frozen=True)
class DataSet:
    """A named data set: its options, its lists, its scores in the paper."""

    name: str
    """name in commands and of folders"""
    title: str
    """name in the heads of tables"""
    position: int
    """place in commands and tables; the paper's data sets come first, in the order of its Table 1"""
    n_actions: int
    """C, number of classes"""
    multilabel: bool = False
    """several labels per video: scored by mean average precision (mAP) instead of accuracy"""
    splits: tuple[str, ...] = ()
    """subfolders of its lists, features and runs, if there are several splits; scores are averaged over them"""
    paper_options: dict = field(default_factory=dict)
    """options that recipe `paper` changes for this data set, besides n_actions and multilabel"""
    released_options: dict = field(default_factory=lambda: RELEASED_UCF11)
    """options that recipe `released` changes for this data set: those of the released program's script"""
    released_name: str | None = None
    """its name in the released program"""
    table1: dict[str, float] = field(default_factory=dict)
    """scores in the paper's Table 1, in percent: name of the model in `options.MODELS` -> score"""
    table2: dict[str, float] = field(default_factory=dict)
    """scores in the paper's Table 2, in percent: name of the method in commands/table2.py -> score"""
    files: VideoFiles | None = None
    """the files of real videos"""
    group_of: Callable = lambda name: None
    """name of a video -> what it has in common with the videos that must stay in the same part, such as its source
    film; None if the name is not one of this data set's names"""
    make: Callable | None = None
    """(folder, workers) -> None: writes the features and lists, for a data set that a program draws"""
    render: Callable | None = None
    """(what dataset.json holds, name of a video) -> frames (n, 224, 224, 3) uint8, for a data set that a
    program draws"""

    @property
    def metric(self):
        return "mAP" if self.multilabel else "accuracy"

    @property
    def short_metric(self):
        """The metric as the heads of tables have it."""
        return "mAP" if self.multilabel else "acc"

    @property
    def list_folders(self):
        """Folders of its lists below data_lists/."""
        return tuple(f"{self.name}/{split}" for split in self.splits) or (self.name,)

    def options(self, recipe):
        """Options that a recipe, `paper` or `released`, changes for this data set."""
        changes = {"paper": self.paper_options, "released": self.released_options}[recipe]
        return {"n_actions": self.n_actions, "multilabel": self.multilabel, **changes}

"""What the rules of several data sets share: reading official split files, and making lists."""

import numpy as np

from visual_attention.util.data_lists import DataLists, check_inside_root, text_lines

VALID_SHARE = 0.16  # of the training videos, for validation; a whole number of UCF-11's 975


def read_official_file(path, values, expected):
    """{clip: value} from a file whose lines have the name of a clip, white space and one of `values`, as int.

    expected: the form of a line, for messages. ValueError or FileNotFoundError names the file and line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though the official files beside it are there; get it again")
    clips = {}
    for k, line in enumerate(text_lines(path)):
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        place = f"{path}, line {k + 1}"
        if len(words) != 2 or words[1] not in values:
            raise ValueError(f"{place}: {line!r}; expected {expected}")
        clip = words[0].strip()
        check_inside_root(place, clip)
        if clip in clips:
            raise ValueError(f"{place}: {clip!r} stands there twice; get the file again")
        clips[clip] = int(words[1])
    return clips


def check_presence(official_names, names):
    """ValueError if the official files name a video that is not in `names`."""
    lacking = sorted(set(official_names) - set(names))
    if lacking:
        raise ValueError(f"the official files name {len(lacking)} videos that are not there, the first {lacking[0]}")


def single_label_lists(labels):
    """DataLists of {name of a video: class number}."""
    return DataLists(list(labels), None, np.array(list(labels.values())))

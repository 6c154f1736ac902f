"""Makes a run from a checkpoint of the released program (NAME.npz with NAME.npz.pkl beside it), and tests it.

    visual-attention import model_ucf11.npz --data data/ucf11 --run runs/ucf11_original

The run's folder is like that of a run trained here: it has predictions.csv and result.json, and visual-attention draw
makes pictures of it.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from visual_attention.commands import command_line
from visual_attention.experiment import parameters, released, run_folder
from visual_attention.experiment.data import check_data, load_part
from visual_attention.experiment.runs import evaluate_run
from visual_attention.model import model_for
from visual_attention.util.frame_table import FrameTable


@dataclass(frozen=True)
class Arguments:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """the .npz"""
    data: Path
    """folder of the data set: frame table and lists of the part test"""
    run: Path
    """folder for the run"""
    part: str = "test"
    """which part of the data set is predicted"""


NEEDED = ("ctx_dim", "dim", "dim_out", "n_actions", "maxlen")  # without which a model cannot be made


def main():
    arguments = command_line.parse(Arguments, __doc__)
    pickled = Path(f"{arguments.checkpoint}.pkl")
    values = released.read_options(pickled)
    for name in NEEDED:
        if name not in values:
            raise ValueError(f"{pickled}: has no option {name}; expected the released program's options")
    try:
        options = released.from_released(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{pickled}: {error}") from error
    with closing(FrameTable(arguments.data / f"{arguments.part}_features.h5", options.ctx_dim)) as table:
        options = options.replace(n_locations=table.n_locations)
    data = load_part(arguments.data, arguments.part, options)
    check_data(options, data)
    model = model_for(options, data.table.dtype)
    parameters.load_params(model, arguments.checkpoint)
    run_folder.open_run(arguments.run, options, data.digest(), data.folder)  # not before everything is known to fit
    parameters.write_params(arguments.run / "model.npz", model, [])
    result = evaluate_run(model, arguments.run, data, {})
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on {arguments.part}")

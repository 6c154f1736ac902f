"""Makes a run of a checkpoint of the released program (NAME.npz with NAME.npz.pkl beside it), and tests it.

    python scripts/import_released.py model_ucf11.npz --data data/ucf11 --run runs/ucf11_original

The run's folder is like that of a run trained here: predictions.csv, result.json, and pictures by draw_attention.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from visual_attention import command_line, released, run_folder
from visual_attention.model import model_for
from visual_attention.training import check_data, data_options, load_part, test_run


@dataclass(frozen=True)
class Arguments:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """the .npz"""
    data: Path
    """folder of the data set: frame table and lists of the part test"""
    run: Path
    """folder of the run that is made"""
    part: str = "test"
    """which part of the data set is predicted"""


NEEDED = ("ctx_dim", "dim", "dim_out", "n_actions", "maxlen")  # without which a model cannot be made


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    pickled = Path(f"{arguments.checkpoint}.pkl")
    theirs = released.read_options(pickled)
    for name in NEEDED:
        if name not in theirs:
            raise ValueError(f"{pickled}: has no option {name}; expected the released program's options")
    try:
        found = data_options(arguments.data, theirs["ctx_dim"], arguments.part)
        options = released.from_released(theirs, n_locations=found["n_locations"])
    except ValueError as error:
        raise ValueError(f"{pickled}: {error}") from error
    data = load_part(arguments.data, arguments.part, options)
    check_data(options, data)
    model = model_for(options, data.table.dtype)
    run_folder.load_params(model, arguments.checkpoint)
    run_folder.open_run(arguments.run, options, data.digest(), data.folder)  # not before everything is known to fit
    run_folder.write_params(arguments.run / "model.npz", model, [])
    result = test_run(model, arguments.run, data, {})
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on {arguments.part}")


if __name__ == "__main__":
    command_line.run(main)

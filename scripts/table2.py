"""Table 2: our measured row beside the literature's, as the paper prints it.

python scripts/table2.py

It reads runs/hmdb51/table1.json and runs/hollywood2/table1.json, which scripts/table1.sh makes, and writes
runs/table2.{md,csv,tex}. What has not been run is said so.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from visual_attention import command_line
from visual_attention.run_folder import write_table

# accuracy on HMDB-51 and mAP on Hollywood2 in percent; None: the paper has none
SPATIAL = [
    ("Spatial stream ConvNet (Simonyan & Zisserman 2014)", 40.5, None),
    ("Soft attention (the paper)", 41.3, 43.9),
    ("Composite LSTM (Srivastava 2015)", 44.0, None),
    ("DL-SFA (Sun 2014)", None, 48.1),
]
OPTICAL_FLOW = [
    ("Two-stream ConvNet (Simonyan & Zisserman 2014)", 59.4, None),
    ("VideoDarwin (Fernando 2015)", 63.7, 73.7),
    ("Multi-skIp Feature Stacking (Lan 2014)", 65.1, 68.0),
    ("Traditional + Stacked Fisher Vectors (Peng 2014)", 66.8, None),
]
OBJECTS = [("Objects + Traditional + Stacked Fisher Vectors (Jain 2015)", 71.3, 66.4)]


@dataclass(frozen=True)
class Arguments:
    runs: Path = Path("runs")
    """folder of the runs"""
    model: str = "attention_lambda0"
    """which row of Table 1 is ours"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    ours = []
    for name in ("hmdb51", "hollywood2"):
        path = arguments.runs / name / "table1.json"
        if not path.is_file():
            ours.append("not run")
            print(f"{path}: not there; bash scripts/table1.sh {name} --data DIR makes it")
            continue
        rows = {row["model"]: row for row in json.loads(path.read_text())["cells"]}
        if arguments.model not in rows:
            raise ValueError(f"{path}: has no row {arguments.model}; expected --model one of {', '.join(rows)}")
        row = rows[arguments.model]
        ours.append(f"{row['mean']:.1f}" + ("" if row["deviation"] is None else f" ± {row['deviation']:.1f}"))
    body = []
    for kind, rows in {"frames": SPATIAL, "+ optical flow": OPTICAL_FLOW, "+ objects": OBJECTS}.items():
        body += [[title, kind, *("–" if value is None else f"{value:.1f}" for value in row)] for title, *row in rows]
    body.insert(2, ["Soft attention (this project, measured)", "frames", *ours])
    write_table(arguments.runs / "table2", ["Model", "input", "HMDB-51 acc %", "Hollywood2 mAP %"], body)
    print((arguments.runs / "table2.md").read_text() + f"{arguments.runs}/table2.md, .csv, .tex")


if __name__ == "__main__":
    command_line.run(main)

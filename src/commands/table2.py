"""Table 2 of the paper with our measured row.

visual-attention table2

It reads runs/hmdb51/table1.json and runs/hollywood2/table1.json, which visual-attention table1 makes, and writes
runs/table2.{md,csv,tex}. A data set without runs is marked "not run".
"""

from dataclasses import dataclass
from pathlib import Path

from visual_attention.commands import command_line
from visual_attention.util import checks, tables
from visual_attention.util.data_sets import DATA_SETS

# The methods of the paper's Table 2 by input, in its order; their scores are in util/data_sets/.
METHODS = {
    "frames": {
        "spatial_stream": "Spatial stream ConvNet (Simonyan & Zisserman 2014)",
        "soft_attention": "Soft attention (the paper)",
        "composite_lstm": "Composite LSTM (Srivastava 2015)",
        "dl_sfa": "DL-SFA (Sun 2014)",
    },
    "+ optical flow": {
        "two_stream": "Two-stream ConvNet (Simonyan & Zisserman 2014)",
        "videodarwin": "VideoDarwin (Fernando 2015)",
        "multi_skip": "Multi-skIp Feature Stacking (Lan 2014)",
        "stacked_fisher_vectors": "Traditional + Stacked Fisher Vectors (Peng 2014)",
    },
    "+ objects": {"objects": "Objects + Traditional + Stacked Fisher Vectors (Jain 2015)"},
}


@dataclass(frozen=True)
class Arguments:
    runs: Path = Path("runs")
    """folder of the runs"""
    model: str = "attention_lambda0"
    """the row of Table 1 that is our row here"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    measured, columns = [], [data_set for data_set in DATA_SETS.values() if data_set.table2]
    for data_set in columns:
        path = arguments.runs / data_set.name / "table1.json"
        if not path.is_file():
            measured.append("not run")
            print(f"{path}: not there; visual-attention table1 {data_set.name} --data DIR makes it")
            continue
        rows = checks.read_json(path, {"cells": list})["cells"]
        for k, row in enumerate(rows):
            kinds = {"model": str, "mean": checks.NUMBER, "deviation": (*checks.NUMBER, type(None))}
            checks.check_kinds(f"{path}, row {k}", row, kinds)
        rows = {row["model"]: row for row in rows}
        if arguments.model not in rows:
            raise ValueError(f"{path}: has no row {arguments.model}; expected --model one of {', '.join(rows)}")
        row = rows[arguments.model]
        measured.append(tables.mean_and_deviation(row["mean"], row["deviation"]))
    body = []
    for kind, methods in METHODS.items():
        for method, title in methods.items():
            scores = (data_set.table2.get(method) for data_set in columns)
            body.append([title, kind, *("–" if score is None else f"{score:.1f}" for score in scores)])
    body.insert(2, ["Soft attention (this project, measured)", "frames", *measured])
    head = ["Model", "input", *(f"{data_set.title} {data_set.short_metric} %" for data_set in columns)]
    tables.write_table(arguments.runs / "table2", head, body)
    print((arguments.runs / "table2.md").read_text() + f"{arguments.runs}/table2.md, .csv, .tex")

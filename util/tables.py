"""Tables for people and for programs: Markdown, CSV, LaTeX. Texts may be anybody's: none acts where a table is read."""

import csv
import io
import re
from pathlib import Path

from .data_lists import text_lines
from .files import write_file

_LATEX = {
    "±": r"$\pm$", "−": "$-$", "λ": r"$\lambda$", "\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}",
    **{sign: f"\\{sign}" for sign in "%_&#${}"},
}  # fmt: skip
_MARKDOWN = {"<": "&lt;", **{sign: f"\\{sign}" for sign in "\\|[`"}}


def markdown(head, body):
    """head: texts; body: a list of texts a row."""

    def line(cells):
        return f"| {' | '.join(_translated(cell, _MARKDOWN) for cell in cells)} |\n"

    return line(head) + line(["---"] * len(head)) + "".join(map(line, body))


def comma_separated(head, body):
    text = io.StringIO()
    rows = [[plain_cell(cell) for cell in row] for row in (head, *body)]
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue()


def plain_cell(text):
    """A cell of a CSV that no spreadsheet takes for a formula: what begins like one gets an apostrophe before it.

    (The apostrophe is the usual way to say that a cell is text; `read_csv` takes it away.)
    """
    formula = re.match("\\s*['=+\\-@＝＋－＠]", text) and not re.fullmatch(r"[+-]?[0-9.]+", text)
    return f"'{text}" if formula else text


def read_csv(path, mend="make or copy it again"):
    """Head and body of a CSV, cells as they were before `plain_cell`; ValueError: it is none. mend: what it advises."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a table, as training leaves it")
    lines = text_lines(path)
    if not lines:
        raise ValueError(f"{path}: is empty; expected a table; {mend}")
    try:
        head, *body = csv.reader(lines)
    except csv.Error as error:
        raise ValueError(f"{path}: is no table ({error}); {mend}") from error
    return [cell.removeprefix("'") for cell in head], [[cell.removeprefix("'") for cell in row] for row in body]


def latex(head, body):
    """A tabular, first column to the left."""

    def line(cells):
        return " & ".join(_translated(cell, _LATEX) for cell in cells) + r" \\"

    rule = r"\hline"
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", rule, line(head), rule, *map(line, body), rule,
                      r"\end{tabular}", ""])  # fmt: skip


def mean_and_deviation(mean, deviation):
    """A cell such as 53.8 ± 1.6, or the mean alone if deviation is None."""
    return f"{mean:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def difference(values):
    """A cell such as 20.1 [16.0, 24.3]. values: a dict with mean and interval (low, high), or None."""
    if values is None:
        return ""
    # with the sign for minus a cell does not begin like a formula
    return "{:.1f} [{:.1f}, {:.1f}]".format(values["mean"], *values["interval"]).replace("-", "−")


def _translated(text, signs):
    return "".join(signs.get(sign, sign) for sign in " ".join(text.splitlines()))


FORMATS = {"md": markdown, "csv": comma_separated, "tex": latex}


def write_table(stem, head, body, notes=()):
    """Writes a table, rows of texts under a head, as <stem>.md, .csv and .tex. notes: paragraphs under the .md."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    for ending, form in FORMATS.items():
        text = form(head, body) + ("".join(f"\n{note}\n" for note in notes) if ending == "md" else "")
        write_file(f"{stem}.{ending}", text.encode())

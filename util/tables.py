"""Tables for people and for programs: Markdown, CSV, LaTeX."""

import csv
import io

_LATEX = {"±": r"$\pm$", "λ": r"$\lambda$", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#"}


def markdown(head, body):
    """head: texts; body: a list of texts a row."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *body))


def comma_separated(head, body):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([head, *body])
    return text.getvalue()


def latex(head, body):
    """A tabular, first column to the left."""

    def line(cells):
        return " & ".join("".join(_LATEX.get(sign, sign) for sign in cell) for cell in cells) + r" \\"

    rule = r"\hline"
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", rule, line(head), rule, *map(line, body), rule,
                      r"\end{tabular}", ""])  # fmt: skip


FORMATS = {"md": markdown, "csv": comma_separated, "tex": latex}

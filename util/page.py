"""A page of text, tables and pictures in one HTML file that needs nothing beside it.

page("Title", {"Table 1": [table(head, body)], "Figures": [picture("figure.png", "What it shows.")]})
"""

import base64
from html import escape
from pathlib import Path

_STYLE = """
body { font: 16px/1.55 Georgia, "DejaVu Serif", serif; color: #222; }
body { max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.6rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
nav a { margin-right: 1.2em; white-space: nowrap; } a { color: #14508c; }
figure { margin: 1.4rem 0 2rem; } figcaption { color: #444; font-size: .93rem; margin-top: .4rem; }
img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; margin: 1rem 0; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #888; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; min-width: 12em; }
summary { cursor: pointer; } .note { border-left: 4px solid #c58a00; padding: .2rem .8rem; background: #fdf7e8; }
@media print { body { max-width: none; } h2, figure { break-inside: avoid; } }
"""


def paragraph(text, note=False):
    """note: marked as something to heed."""
    return f"<p{' class=note' if note else ''}>{escape(text)}</p>"


def table(head, body):
    """head: texts; body: a list of texts a row."""

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = "\n".join(line(row, "td") for row in body)
    return f'<div class="scroll"><table>\n<thead>{line(head, "th")}</thead>\n<tbody>{rows}</tbody>\n</table></div>'


def picture(path, caption):
    """A PNG, with the caption below it; the picture's bytes are in the page."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def folded(title, parts):
    """Parts behind a line to click on."""
    return f"<details><summary>{escape(title)}</summary>\n" + "\n".join(parts) + "\n</details>"


def page(title, sections):
    """The text of the file. sections: heading -> parts; the headings are linked at the top."""
    links = " ".join(f'<a href="#s{k}">{escape(name)}</a>' for k, name in enumerate(sections))
    body = "\n".join(
        "\n".join([f'<h2 id="s{k}">{escape(name)}</h2>', *parts]) for k, (name, parts) in enumerate(sections.items())
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n"
        "</body>\n</html>\n"
    )

"""The documentation: links lead somewhere, the README is short, and the commands that pages show exist."""

import importlib
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from visual_attention.commands import COMMANDS, command_line

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tutorial/*"), *ROOT.glob("scripts/*.ipynb")]
    + [ROOT / "data_lists" / "README.md", ROOT / "tests" / "data" / "README.md"]
)
CODE_BLOCK = re.compile(r"^```.*?^```|^ {4,}\S.*?$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
SCRIPT = re.compile(r"\b(?:scripts|benchmarks|tests|\.ci)/\w+(?:\.py|\.sh)?\b")
COMMAND = re.compile(
    r"(?:\b(?:python|bash) ((?:scripts|benchmarks|tests)/\w+\.(?:py|sh))|(?<![\w/-])(visual-attention) )(.*)"
)
FLAG = re.compile(r"(?<=[\s\[])--[a-z][a-z0-9-]*")


def text_of(page):
    """The Markdown of a page or of a notebook's cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join(cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown")


def prose(text):
    return re.sub(r"`[^`]*`", "`", CODE_BLOCK.sub("", text))


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#{1,6} (.+)", CODE_BLOCK.sub("", text_of(page)), re.MULTILINE)
    slugs, seen = set(), Counter()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        slugs.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return slugs


def broken_links(page):
    """The links within the repository that lead to no file, or to no heading of a page."""
    for link in LINK.findall(prose(text_of(page))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.is_file() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links(page):
    assert list(broken_links(page)) == []


def test_broken_links_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# A `b`, c: d\n\n## Twice\n\n## Twice\n")
    links = ("other.md", "other.md#a-b-c-d", "other.md#twice-1", "other.md#twice-2", "#here", "#there", "none.md")
    code = "```\n[code](none)\n```\n\n    [code](none)\n\n`[code](none)`"
    page.write_text("# Here\n\n" + "\n".join(f"[text]({link})" for link in links) + f"\n\n{code}\n")
    assert list(broken_links(page)) == ["other.md#twice-2", "#there", "none.md"]


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(text_of(index)))}
    assert {page for page in PAGES if page.parent.name != "tutorial"} - {index} <= linked


def test_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_scripts_exist(page):
    assert [script for script in SCRIPT.findall(text_of(page)) if not any(ROOT.glob(f"{script}*"))] == []


# ---------------------------------------------------------------- commands


def shown_commands():
    """(page, script or "" for visual-attention, what follows) of all commands in pages."""
    for page in PAGES:
        if page.name != "bad_input.md":  # whose commands are wrong on purpose
            for script, _, rest in COMMAND.findall(text_of(page)):
                yield page.relative_to(ROOT).as_posix(), script, re.split("[`#|]", rest)[0].rstrip()


def command_of(script, rest):
    """The name in COMMANDS of what a script runs, or of a subcommand; None if it runs none."""
    if not script:
        return next((word for word in rest.split()[:1] if not word.startswith("-")), None)
    path = ROOT / script
    path = path if path.suffix == ".py" else path.with_suffix(".py")
    ran = re.search(r'\brun\("([\w-]+)"', path.read_text(encoding="utf-8")) if path.exists() else None
    return ran and ran[1]


@pytest.fixture
def check_flags(monkeypatch):
    """(name of a command, flags) -> None; ValueError if its parser does not know one of them."""
    kinds = {}

    class Parsed(Exception):
        pass

    def parse(kind, description, names=None, **how):
        raise Parsed(names or kind)

    monkeypatch.setattr(command_line, "parse", parse)
    monkeypatch.setattr("sys.argv", ["visual-attention"])

    def check(name, flags):
        if name not in kinds:
            with pytest.raises(Parsed) as parsed:
                importlib.import_module(f"visual_attention.commands.{COMMANDS[name][0]}").main()
            (kinds[name],) = parsed.value.args
        command_line._check_names(kinds[name], flags)

    return check


def test_commands_exist_with_their_flags(check_flags):
    problems, checked = [], Counter()
    for page, script, rest in shown_commands():
        name, flags = command_of(script, rest), FLAG.findall(rest)
        try:
            if name is not None:
                check_flags(name, flags)
            elif script:  # a program with a parser of its own
                source = (ROOT / script).read_text(encoding="utf-8")
                for flag in flags:
                    if flag not in source and not re.search(rf"\b{flag.strip('-').replace('-', '_')}: ", source):
                        raise ValueError(f"{script} has no {flag}")
        except (ValueError, KeyError) as error:
            problems.append(f"{page}: {script or 'visual-attention'}{rest}: {error}")
        checked[name] += 1
    assert problems == []
    # so that a change of the pages' form does not leave nothing to check
    assert all(checked[name] for name in ("table1", "extract", "train", "classify", "figures", "lists"))


def test_unknown_flags_are_noticed(check_flags):
    check_flags("table1", ["--quick", "--data", "--max-epochs"])
    with pytest.raises(ValueError, match="--quik"):
        check_flags("table1", ["--quik"])


def test_subcommands_in_the_manual():
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)\.py` \|", text_of(ROOT / "docs" / "install.md"), re.MULTILINE)
    assert dict(rows) == {name: module for name, (module, _) in COMMANDS.items()}
    assert all(command_of(f"scripts/{script}.py", "") == name for name, script in rows)

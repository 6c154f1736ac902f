"""A command line as a dataclass, by tyro; whatever is wrong with it is said in one line."""

import ast
import contextlib
import dataclasses
import difflib
import inspect
import io
import itertools
import re
import sys
from typing import Annotated, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import tyro

from visual_attention.options import Options


def parse(kind, description, names=None, **how):
    """The command line as an instance of the dataclass `kind`.

    names: a dataclass with all options, if `kind` has only some. how: as of tyro.cli.
    ValueError, or exit status 2: the command line is no such instance.
    """
    _check_names(names or kind, sys.argv[1:])
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(kind, description=description, **how)
    except SystemExit as end:
        if end.code:
            print(f"error: {_in_one_line(printed.getvalue())}", file=sys.stderr)
        raise


def recipe_changes(*without):
    """The flags of `train` for all Options but those named in `without`: a TypedDict of those that are given.

    Values are checked by `options.recipe`, since what is allowed depends on the recipe and the model.
    """
    body = ast.parse(inspect.getsource(Options)).body[0].body
    helps = {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    kinds = {
        field.name: Annotated[
            field.type, tyro.conf.arg(help=helps[field.name], help_behavior_hint="(default: the recipe's)")
        ]
        for field in dataclasses.fields(Options)
        if field.name not in without
    }
    return tyro.conf.OmitArgPrefixes[TypedDict("Changes", kinds, total=False)]


def _in_one_line(text):
    """What tyro says is wrong, without the frame around it, which is of ─ or - and has a head first."""
    parts = [" ".join(part.replace("│", " ").split()) for part in re.split(".*[─-]{4}.*", text)]
    parts = [part for part in parts if part]
    wrong = parts[0] if "─" in text else parts[1]
    for python, kind in {"invalid literal for int": "a whole number", "could not convert string": "a number"}.items():
        wrong = re.sub(f"Error parsing (--.*): {python}.*: (.*)", rf"option \1 is \2; expected {kind}", wrong)
    return wrong.removeprefix("Error parsing options: ")


def _check_names(kind, words):
    """ValueError where one of these words is an option that `kind` does not have; says which one is near."""
    known = ["--help", *_option_names(kind)]
    for word in words:
        name = word.partition("=")[0].replace("_", "-")
        if name.startswith("--") and name != "--" and name not in known and not name.startswith("--tyro-"):
            raise ValueError(f"option {word} is unknown; expected {nearest(name, known, '--help lists all of them')}")


def _option_names(kind):
    for field, annotated in get_type_hints(kind, include_extras=True).items():
        of_field, *marks = get_args(annotated) if get_origin(annotated) is Annotated else (annotated,)
        name = field.replace("_", "-")
        if tyro.conf.Positional in marks:
            continue
        if dataclasses.is_dataclass(of_field) or is_typeddict(of_field):
            yield from _option_names(of_field)
        else:
            yield from [f"--{name}", f"--no-{name}"] if of_field is bool else [f"--{name}"]


def nearest(name, known, otherwise):
    """For a message: the known name that is nearest to a misspelt one."""
    near = difflib.get_close_matches(name, known, 1)
    return f"{near[0]}, perhaps; {otherwise}" if near else otherwise


def check_at_least(arguments, **bounds):
    """ValueError where one of these arguments is given and less than its bound."""
    for option, least in bounds.items():
        if (value := getattr(arguments, option)) is not None and value < least:
            raise ValueError(f"option --{option} is {value}; expected at least {least}")

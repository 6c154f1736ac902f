"""Checks of files that somebody else may have made: links, names, numbers, JSON."""

import json
import os
import re
from pathlib import Path

from .files import read_file

MOST = 2**31 - 1  # of any whole number in a file: rows of a frame table are counted in int32
NUMBER = (int, float)  # for `check_kinds`
LONGEST_NAME = 1000  # characters of a video's or a class's name


def is_file(path):
    """Whether `path` is a file. ValueError: it is a link that leads out of its folder."""
    path = Path(path)
    if path.is_symlink():
        _check_link(path, path.parent)
    return path.is_file()


def check_links(folder):
    """ValueError where a link below `folder`, which may be a link itself, leads out of it."""
    for path in Path(folder).rglob("*"):
        if path.is_symlink():
            _check_link(path, folder)


def _check_link(path, folder):
    inside, target = os.path.realpath(folder), os.path.realpath(path)
    if os.path.commonpath([inside, target]) != inside:
        raise ValueError(f"{path}: is a link that leads out of {folder}, to {target}; put a copy in its place")


def whole_number(text, least=0):
    """The number in a text of plain digits; None for any other text, and for numbers below `least` or above MOST.

    int() alone accepts underscores, digits of other scripts, and numbers of any size.
    """
    if not re.fullmatch("[0-9]{1,19}", text := text.strip()):
        return None
    return int(text) if least <= int(text) <= MOST else None


def check_name(place, name, what):
    """ValueError, which begins with `place`, unless `name` can be printed, drawn, and written in a row of a table."""
    if not name.strip():
        raise ValueError(f"{place}: is blank; expected {what}")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{place}: has {len(name)} characters; expected {what}, of {LONGEST_NAME} at most")
    if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", name):
        raise ValueError(f"{place}: {name!r} has a control character; expected {what}, of printable characters")


def read_json(path, kinds, remedy="make or copy it again"):
    """The dict in a JSON file, whose values have the types in `kinds`, name -> type; see `check_kinds`.

    remedy: what messages advise. FileNotFoundError: there is no file. ValueError: it has other content, or its digest
    is not that in SHA256SUMS beside it.
    """
    if not is_file(path):
        raise FileNotFoundError(f"{path}: no such file")
    return parse_json(path, read_file(path, remedy), kinds, remedy)


def parse_json(place, text, kinds, remedy="make or copy it again"):
    """As `read_json`, of a text or bytes; messages begin with `place`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: is not JSON ({error}); {remedy}") from error
    check_kinds(place, value, kinds)
    return value


def check_kinds(place, values, kinds):
    """ValueError unless `values` is a dict with these names and types; its text begins with `place`.

    kinds: name -> type, or a tuple of types. int alone: from 0 to MOST.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{place}: is {_short(values)}; expected an object with {', '.join(kinds)}")
    for name, kind in kinds.items():
        if name not in values:
            raise ValueError(f"{place}: has no {name!r}; make or copy it again")
        value, allowed = values[name], kind if isinstance(kind, tuple) else (kind,)
        wrong = not isinstance(value, allowed) or isinstance(value, bool) and bool not in allowed
        if wrong or kind is int and not 0 <= value <= MOST:
            words = " or ".join(dict.fromkeys(_KINDS[k if k is kind else float if k is int else k] for k in allowed))
            raise ValueError(f"{place}: {name} is {_short(value)}; expected {words}")


_KINDS = {int: "a whole number of at least 0", float: "a number", str: "a text", list: "a list", dict: "an object",
          bool: "true or false", type(None): "null"}  # fmt: skip


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"

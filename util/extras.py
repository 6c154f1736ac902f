"""Packages that only some commands need: the extras in setup.py."""

import importlib


def import_extra(module, need, extra):
    """The module. ModuleNotFoundError says how to install it.

    need: what needs which package, for the message, such as "video needs PyAV". extra: its name in setup.py.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModuleNotFoundError(f"{need}, which is not installed: pip install .[{extra}]") from error

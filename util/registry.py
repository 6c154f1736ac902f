"""Registries made of folders: a module that lies in the folder is registered, and no list of modules has to be kept."""

import importlib
import pkgutil


def entries(package, paths, attribute):
    """The values that the modules of a package give to the name `attribute`, in the order of the modules' names.

    package: its full name. paths: its folders. Modules whose names begin with an underscore are not imported: they hold
    what the others share.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_"))
    return [getattr(importlib.import_module(f"{package}.{name}"), attribute) for name in names]

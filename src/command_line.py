"""What scripts have in common: errors are one line and a non-zero exit status, and the options of a training run."""

import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import tyro

from visual_attention.options import DATA_SETS, MODELS, RECIPES, Options, recipe
from visual_attention.run_folder import CostError, Interrupted, WriteError


def run(main, *args):
    """Calls main(*args); exits with 1 after an error a user can mend, with 128 + n after signal n."""
    try:
        main(*args)
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        sys.exit(stop.status)
    except KeyboardInterrupt:
        print("\ninterrupted: start the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit("error: a worker process died (out of memory?); start the same command again with --workers 1")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error}); a smaller --batch-size or --memory-gb needs less")
    except (ValueError, OSError, ImportError, WriteError, CostError) as error:
        sys.exit(f"error: {error}")


def check_at_least(arguments, **bounds):
    """ValueError where one of these arguments is given and less than its bound."""
    for option, least in bounds.items():
        if (value := getattr(arguments, option)) is not None and value < least:
            raise ValueError(f"option --{option} is {value}; expected at least {least}")


def changes_of(words):
    """{"max_epochs": 1} of ("max_epochs=1",); ValueError where one is no option, or no value of it."""
    kinds, changes = {field.name: field.type for field in fields(Options)}, {}
    for word in words:
        name, _, value = word.partition("=")
        name = name.replace("-", "_")
        if name not in kinds:
            raise ValueError(
                f"option --change has {word!r}; expected NAME=VALUE, NAME one of scripts/show_recipes.py's"
            )
        if kinds[name] is bool and value not in ("True", "False"):
            raise ValueError(f"option --change has {word!r}; expected {name}=True or {name}=False")
        try:
            changes[name] = (
                value == "True" if kinds[name] is bool else kinds[name](value) if kinds[name] in (int, float) else value
            )
        except ValueError:
            raise ValueError(f"option --change has {word!r}; expected a number") from None
    return changes


# ---------------------------------------------------------------- training a run


@dataclass(frozen=True)
class TrainArguments:
    data: Path
    """folder of the data set: frame tables and lists of the parts train, valid and test"""
    run: Path
    """folder of the run"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters are the defaults: the paper's, or the released program's; scripts/show_recipes.py prints
    both"""
    data_set: Literal[DATA_SETS] = "ucf11"
    """for which data set these are"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """which row of Table 1; sets pooling and alpha_c, and attention in the row that the paper has not"""
    coordinator: str | None = None
    """HOST:PORT of host 0, where several hosts train the run together; each is given the same command but for --host,
    and a folder that all of them see"""
    hosts: int = 1
    """how many hosts; option devices is then the number of all hosts' devices together"""
    host: int = 0
    """which of them this is, from 0"""
    options: tyro.conf.OmitArgPrefixes[Options] = Options()
    """what the data or the model say (n_actions, ctx_dim, ...) need not be given"""


@dataclass(frozen=True)
class _Choice:
    """What must be known before the defaults of everything else are."""

    data: Path | None
    recipe: str
    data_set: str
    model: str
    ctx_dim: int | None = None
    seed: int = 0


def train_command(description, data_set=None, data=None):
    """Trains a run as the command line says, and tests it; or continues it, or tells its result.

    data_set: the one whose script this is, data: its folder where none is given; the run then has a default too.
    """
    choice = _Choice(data, "paper", data_set or "ucf11", "attention_lambda0")
    asked = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    help_asked = len(asked) < len(sys.argv) - 1
    choice, _ = tyro.cli(_Choice, args=asked, default=choice, return_unknown_args=True, add_help=False)
    found = {}
    if (
        choice.recipe in RECIPES and choice.data_set in DATA_SETS and choice.model in MODELS
    ):  # else the parser below says
        if choice.data is not None and not help_asked:
            from visual_attention.training import data_options

            found = data_options(choice.data, choice.ctx_dim)
        found = recipe(choice.recipe, choice.data_set, choice.model, **found)
    missing = tyro.MISSING
    folder = choice.data_set if choice.recipe == "paper" else f"{choice.data_set}_{choice.recipe}"
    arguments = tyro.cli(
        TrainArguments,
        description=description,
        default=TrainArguments(
            data=data or missing,
            run=Path("runs", folder, choice.model, f"seed{choice.seed}") if data_set else missing,
            data_set=choice.data_set,
            options=found or Options(),
        ),
    )
    if arguments.coordinator:
        import jax

        jax.distributed.initialize(arguments.coordinator, arguments.hosts, arguments.host)
    elif arguments.hosts > 1:
        raise ValueError(f"option --hosts is {arguments.hosts}; expected --coordinator HOST:PORT with it")
    from visual_attention.training import load_parts, run_cell

    result = run_cell(arguments.options, arguments.run, load_parts(arguments.data, arguments.options))
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on test, {result['valid']:.2f} % on validation")

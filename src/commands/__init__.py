"""The commands: `visual-attention NAME ...`, or from a checkout the script of the same name."""

import importlib
import os
import platform
import sys

COMMANDS = {  # name -> its module here, what it does
    "table1": ("table1", "train and test every model of the paper's Table 1 on a data set"),
    "figures": ("figures", "every figure of the paper from these runs, as PNGs and a page"),
    "table2": ("table2", "Table 2 with the measured row"),
    "lists": ("make_data_lists", "compare the videos of a data set on this disk with the lists"),
    "extract": ("extract_features", "turn videos into frame tables"),
    "train": ("train", "train and test one model"),
    "draw": ("draw_attention", "a strip and a movie of where a model looked in a video"),
    "study": ("study_embedded", "when attention helps: figures of the embedded data set by size and place"),
    "classify": ("classify_videos", "the whole job on a folder of videos: extract, train, test, draw"),
    "cross-validate": ("cross_validate", "number of layers and λ by cross-validation"),
    "recipes": ("show_recipes", "options of the paper's and the released program's recipe side by side"),
    "import": ("import_released", "make a run from a checkpoint of the released program"),
    "compare": ("compare_with_released", "compute the released program's recorded numbers again"),
}


def run(name, *args):
    """Runs a command on sys.argv; exits with a status that is not 0 after an error or a signal."""
    use_large_pages()
    from visual_attention.commands import exit_status

    exit_status.run(lambda: importlib.import_module(f"{__name__}.{COMMANDS[name][0]}").main(*args))


def use_large_pages():
    """Starts this command again in the same process, with GLIBC_TUNABLES set so that large arrays use large pages.

    Updates then take less time (docs/performance.md). The C library reads the variable before Python runs, so it must
    be set when a process starts. Worker processes inherit it. Nothing happens if the variable is set already, with
    another C library, under a debugger, or if the program is no file (python -c, or standard input).
    """
    tunable = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if "GLIBC_TUNABLES" in os.environ or not tunable or sys.gettrace() or not file:
        return
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def main():
    """The console command `visual-attention`."""
    if sys.argv[1:2] in (["--help"], ["-h"]) or len(sys.argv) == 1:
        print("usage: visual-attention COMMAND ...\n\nAction recognition using visual attention.\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:15} {what}")
        print("\nvisual-attention COMMAND --help explains the options of a command.")
        return
    name = sys.argv[1]
    if name not in COMMANDS:
        from visual_attention.commands import command_line

        near = command_line.nearest(name, COMMANDS, f"one of {', '.join(COMMANDS)}")
        sys.exit(f"error: no command {name!r}; expected {near}")
    sys.argv[:2] = [f"visual-attention {name}"]
    run(name)

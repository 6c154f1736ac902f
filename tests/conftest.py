"""Settings for the whole suite, made before PyTensor is imported."""

import gc
import os
import signal

# Neither optimisation nor debug information: tests of the C backend compile for long and run tiny graphs.
os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), "gcc__cxxflags=-O0 -g0"]))

# Without this, a command called in this process would restart the process to get large pages.
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

# A shell starts background processes with Ctrl-C ignored, and their children inherit that. The processes that the tests
# start and interrupt must react to it even if the tests run in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Graphs are made of many objects that live until the end. Less frequent garbage collection among them saves a tenth of
# the time.
gc.set_threshold(100_000, 20, 20)

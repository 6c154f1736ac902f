"""Settings of the whole suite, before PyTensor is imported."""

import os
import signal

# C++ without optimisation: compiling is what the C backend's tests wait for, not the tiny graphs
os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), "gcc__cxxflags=-O0"]))

# A shell starts what it runs in the background with Ctrl-C ignored, and processes inherit that. Those that the tests
# start and interrupt must heed it wherever the tests themselves run.
signal.signal(signal.SIGINT, signal.default_int_handler)

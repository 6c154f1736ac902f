"""Settings of the whole suite, before PyTensor is imported."""

import os

# C++ without optimisation: compiling is what the C backend's tests wait for, not the tiny graphs
os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), "gcc__cxxflags=-O0"]))

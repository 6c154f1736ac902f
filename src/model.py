"""A graph of options, compiled: one function that updates the parameters, one that predicts."""

import functools
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytensor

from visual_attention import actrec, actrec_mAP, backend, kernels, layers
from visual_attention.layers import gradients
from visual_attention.optimizers import OPTIMIZERS
from visual_attention.options import graph_options
from visual_attention.run_folder import load_options, load_params
from visual_attention.util.workers import release_memory


def builder(options):
    """The function that builds the graph of `options`."""
    return actrec_mAP.build_model if options.multilabel else actrec.build_model


class Model:
    """Parameters and compiled functions of `options`. Nothing is compiled before it is called.

        model = Model(options, "float16")
        cost = model.update(batch, rng)          # one step of the optimizer
        probs, alpha = model.predict(batch)      # (T, B, C), and (T, B, L) or None

    frames_dtype: the frame table's. C and NUMBA take it as floatX: they compute slowly with half precision. started:
    whether it has initial parameters; else all are 0 until `start`.
    """

    def __init__(self, options, frames_dtype="float32", started=True):
        backend.set_precision(options.floatX, options.backend, options.matmul)
        self.options = options
        self.frames_dtype = str(frames_dtype) if options.backend == "jax" else options.floatX
        self.tparams = actrec.init_tparams(actrec.init_params(options, layers.Zeros()))
        self.build = builder(options)
        # Without tracebacks of every variable, a gradient is built in 3 s instead of 5. The graph's shared scalars
        # (lambda, gamma) are set anew for each run, so that runs share what is compiled.
        with pytensor.config.change_flags(traceback__limit=0):
            self.graph = self.build(self.tparams, options, True, self.frames_dtype)
        self._updated, self._meant = False, None
        self.lrate = pytensor.shared(np.asarray(options.lrate, options.floatX), name="lrate", shape=())
        if started:
            self.start(options)

    @functools.cached_property
    def _updates(self):
        with pytensor.config.change_flags(traceback__limit=0):
            grads = gradients(self.graph.cost, self.tparams, self.graph.loop)
            return OPTIMIZERS[self.options.optimizer](self.lrate, self.tparams, grads)

    @functools.cached_property
    def _update(self):
        g = self.graph
        inputs = {g.frames: None, g.means: None, g.index: 1, g.mask: 1, g.y: 0}
        function = self._compiled(
            "update", inputs | ({g.dropout.bits: None} if g.dropout else {}), g.cost, self._updates
        )
        release_memory()
        return function

    @functools.cached_property
    def _predict(self):
        with pytensor.config.change_flags(traceback__limit=0):
            g = self.build(self.tparams, self.options, False, self.frames_dtype, overlapping=True)
        inputs = {g.frames: None, g.means: None, g.index: 1, g.mask: 1}
        return self._compiled("predict", inputs, [g.probs] + ([] if g.alpha is None else [g.alpha]))

    def _compiled(self, name, inputs, outputs, updates=None):
        """inputs: variable -> its axis that is the batch's."""
        o, key = self.options, f"{name} {self.frames_dtype} {graph_options(self.options)}"
        with pytensor.config.change_flags(traceback__limit=0):
            return backend.compile_function(
                list(inputs), outputs, updates, o.backend, key, o.devices, list(inputs.values())
            )

    def start(self, options):
        """Makes this the fresh model of `options`, which must have the same graph."""
        if graph_options(options) != graph_options(self.options):
            raise ValueError("these options have another graph: make a new Model")
        for name, value in actrec.init_params(options).items():
            self.tparams[name].set_value(value)
        if "_updates" in self.__dict__:  # not if it has only predicted so far
            for variable in self.optimizer_state.values():
                variable.set_value(np.zeros_like(variable.get_value()))
        for variable in (self.graph.alpha_c, self.graph.decay_c, self.lrate):
            variable.set_value(np.asarray(getattr(options, variable.name), options.floatX))
        self.options = options

    @property
    def optimizer_state(self):
        """The optimizer's own variables, name -> shared."""
        return OrderedDict((v.name, v) for v in self._updates if v.name not in self.tparams)

    def frames(self, table):
        """A frame table, placed once where the updates compute."""
        return backend.to_device(table.astype(self.frames_dtype, copy=False), self.options)

    def update(self, batch, rng):
        """One update of the parameters; the cost before it. rng draws the dropout masks."""
        bits = [np.frombuffer(rng.bytes(self.graph.dropout.size), "uint8")] if self.graph.dropout else []
        cost = float(self._update(*self._inputs(batch), batch.y, *bits))
        if not self._updated:  # the backend compiles in its first call
            release_memory()
            self._updated = True
        return cost

    def predict(self, batch):
        """Class probabilities (T, B, C) and glimpses (T, B, L), None where nothing attends; NumPy arrays."""
        probs, *alpha = self._predict(*self._inputs(batch))
        return np.asarray(probs), np.asarray(alpha[0]) if alpha else None

    def _inputs(self, batch):
        frames = batch.frames
        if frames.dtype != self.frames_dtype:
            frames = frames.astype(self.frames_dtype)
        frames = backend.to_device(frames, self.options)
        if frames is not self._meant:  # of a table that is placed, only once
            self._meant, self._means = frames, kernels.frame_means(frames, self.options.floatX)
        return frames, self._means, batch.index, batch.mask.astype(self.options.floatX)


@functools.lru_cache(maxsize=1)
def _model(options, frames_dtype):
    return Model(options, frames_dtype, started=False)


def model_for(options, frames_dtype):
    """The fresh model of `options`; the last one compiled is used again where only numbers differ."""
    model = _model(graph_options(options), str(frames_dtype))
    model.start(options)
    return model


def trained_model(run, frames_dtype):
    """The model of a run's folder with its best parameters; as `model_for`, compiled anew only if it must be."""
    model = model_for(load_options(run)[0], frames_dtype)
    load_params(model, Path(run, "model.npz"))
    return model

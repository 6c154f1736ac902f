"""The compiled functions of a model: one updates the parameters, one predicts."""

import copy
import functools

import numpy as np
import pytensor
from pytensor.graph.replace import graph_replace

from visual_attention import actrec, backends
from visual_attention.focus import drawn_shapes, one_hot
from visual_attention.layers import Zeros, dropout_shapes, init_tparams
from visual_attention.optimizers import OPTIMIZERS
from visual_attention.options import TEST_GLIMPSES, graph_options
from visual_attention.util.workers import release_memory


class Functions:
    """The graph of `options` and its compiled functions. Models with the same graph share them.

    The functions hold no numbers between calls: each call gets the variables of one model. Each function is compiled in
    its first call. frames_dtype: dtype of the frame table. C and NUMBA get the table as floatX, because they compute
    slowly in half precision.
    """

    def __init__(self, options, frames_dtype):
        backends.set_precision(options.floatX, options.backend, options.matmul)
        self.options = options
        self.frames_dtype = str(frames_dtype) if options.backend == "jax" else options.floatX
        self.tparams = init_tparams(actrec.init_params(options, Zeros()))
        # Without a traceback for every variable, a gradient is built in 3 s instead of 5.
        with pytensor.config.change_flags(traceback__limit=0):
            self.graph = actrec.build_model(self.tparams, options, True, self.frames_dtype)
        self.lrate = pytensor.shared(np.asarray(options.lrate, options.floatX), name="lrate", shape=())
        self._updated, self._predict = False, {}
        self.n_tables = 1 if self.graph.fine is None else 2

    @functools.cached_property
    def updates(self):
        """The updates of the optimizer and of the graph, shared variable -> new value; expressions of `gradients`."""
        return OPTIMIZERS[self.options.optimizer](self.lrate, self.tparams, self.gradients) | self.graph.updates

    @functools.cached_property
    def gradients(self):
        """Placeholders for the gradients, in the order of the parameters.

        Building the gradients takes seconds. A start from the cache does not need them.
        """
        return [param.type() for param in self.tparams.values()]

    def with_gradients(self, expressions):
        """The expressions with the gradients of the cost in place of the placeholders."""
        with pytensor.config.change_flags(traceback__limit=0):
            grads = pytensor.grad(self.graph.cost, list(self.tparams.values()))
            return graph_replace(expressions, dict(zip(self.gradients, grads, strict=True)))

    @functools.cached_property
    def compiled_update(self):
        g = self.graph
        inputs = self._windows(g) | {g.y: 0} | self._masks(g)
        return self._compiled("update", inputs, g.cost, self.updates, self.with_gradients)

    def compiled_predict(self, batch_size, glimpse_test=None):
        """The function that predicts so many windows at a time. glimpse_test: that option's value for focus `hard`."""
        key = batch_size, glimpse_test
        if key not in self._predict:
            options = self.options.replace(batch_size=batch_size, **TEST_GLIMPSES.get(glimpse_test, {}))
            with pytensor.config.change_flags(traceback__limit=0):
                g = actrec.build_model(self.tparams, options, False, self.frames_dtype)
                drawn = [one_hot(g.recorded["drawn"], options)] if "drawn" in g.recorded else []
            outputs = [g.probs, *(drawn or ([] if g.alpha is None else [g.alpha]))]
            name = f"predict {batch_size} {glimpse_test}"
            self._predict[key] = self._compiled(name, self._windows(g) | self._masks(g), outputs)
        return self._predict[key]

    def _windows(self, g):
        """The inputs that are windows: variable -> its batch axis, or None."""
        fine, given = ({} if g.fine is None else {g.fine: None}), ({} if g.given is None else {g.given: 1})
        return {g.frames: None} | fine | {g.index: 1, g.mask: 1} | given

    def _masks(self, g):
        """The inputs that are random numbers: variable -> its batch axis."""
        return {mask: 0 if name.startswith("ff_init") else 1 for name, mask in g.masks.items()}

    def _compiled(self, name, inputs, outputs, updates=None, complete=None):
        """inputs: variable -> its batch axis, or None."""
        o, key = self.options, f"{name} {self.frames_dtype} {graph_options(self.options)}"
        with pytensor.config.change_flags(traceback__limit=0):
            return backends.compile_function(
                inputs, outputs, updates, o.backend, o.plain, key, o.devices, complete, self.n_tables
            )

    def update(self, variables, *inputs):
        """Updates `variables` and returns the cost before the update.

        variables: name -> shared variable, for parameters, optimizer state, lrate, alpha_c and decay_c.
        """
        scalars = (self.lrate, self.graph.alpha_c, self.graph.decay_c)
        cost = _call(self.compiled_update, [*self.updates, *scalars], variables, inputs)
        if not self._updated:  # compiling is over
            release_memory()
            self._updated = True
        return cost

    def predict(self, variables, glimpse_test, *inputs):
        """[class probabilities], or [class probabilities, glimpses] if the model attends. variables: the parameters."""
        function = self.compiled_predict(inputs[self.n_tables].shape[1], glimpse_test)
        return _call(function, self.tparams.values(), variables, inputs)


def _call(function, shared, variables, inputs):
    """function(*inputs), where each of its `shared` variables takes the value of the variable of that name in
    `variables` (name -> shared variable) for this call, and hands it back."""
    pairs = [(variable.container.storage, variables[variable.name].container.storage) for variable in shared]
    for storage, model_storage in pairs:
        storage[0] = model_storage[0]  # a reference: an array on a device is not copied
    try:
        return function(*inputs)
    finally:
        for storage, model_storage in pairs:
            model_storage[0] = storage[0]
        for storage, _ in pairs:
            storage[0] = None


class Model:
    """Parameters, the state of their optimizer, and the functions that use them.

        model = Model(options, "float16")
        cost = model.update(batch, rng)          # one step of the optimizer
        probs, alpha = model.predict(batch)      # (T, B, C), and (T, B, L) or None

    frames_dtype: dtype of the frame table. functions: the Functions of a model with the same graph, to compile nothing
    again. started: whether parameters are initialized; otherwise they are 0.
    """

    def __init__(self, options, frames_dtype="float32", functions=None, started=True):
        backends.set_precision(options.floatX, options.backend, options.matmul)
        self.options, self.functions = options, functions or Functions(options, frames_dtype)
        self.tparams = init_tparams(actrec.init_params(options, None if started else Zeros()))
        # These are inputs of the graph. Models with another lambda, gamma or rate share its functions.
        self.scalars = {
            name: pytensor.shared(np.asarray(getattr(options, name), options.floatX), name=name, shape=())
            for name in ("alpha_c", "decay_c", "lrate")
        }

    @functools.cached_property
    def optimizer_state(self):
        """The optimizer's variables, name -> shared variable. All are 0 before the first update."""
        state = [variable for variable in self.functions.updates if variable.name not in self.tparams]
        zeros = {variable.name: np.zeros(variable.type.shape, variable.type.dtype) for variable in state}
        return init_tparams(zeros)

    def frames(self, table):
        """A frame table on the device of the updates, so that it is copied there only once.

        Of two layers it is (n, L_1 D_1 + L_2 D_2), and the result is a list of (n, L_1, D_1) and (n, L_2, D_2).
        """
        if isinstance(table, list):
            return table
        o, dtype = self.options, self.functions.frames_dtype
        if o.resolutions == "one":
            return backends.to_device(table if table.dtype == dtype else table.astype(dtype), o)
        coarse, fine = np.split(table, [o.n_locations * o.ctx_dim], axis=1)
        shapes = (o.n_locations, o.ctx_dim), (o.fine_locations, o.fine_dim)
        parts = (part.reshape(-1, *shape) for part, shape in zip((coarse, fine), shapes, strict=True))
        return [backends.to_device(np.ascontiguousarray(part, dtype), o) for part in parts]

    def update(self, batch, rng, given=None, drop=True):
        """Updates the parameters once and returns the cost before the update.

        batch: frames (n, L, D), index and mask (T, B), y. rng draws dropout masks and locations. given: see `predict`.
        drop: whether dropout drops units. If not, its masks are all 1.
        """
        variables = self.tparams | self.optimizer_state | self.scalars
        masks = draw_masks(self.options, rng, drop)
        return float(self.functions.update(variables, *self._inputs(batch, given), batch.y, *masks))

    def predict(self, batch, given=None):
        """Class probabilities (T, B, C) and glimpses (T, B, L), or None if the model does not attend; NumPy arrays.

        The batch may have any size B. For each size, a function is compiled once. given: for attention `given`, the
        glimpses, in a shape that broadcasts to (T, B, L). ValueError: they are missing, or the model does not take any.
        With focus `hard`, glimpses are the weights by option glimpse_test: of samples, the means.
        """
        o, inputs = self.options, self._inputs(batch, given)
        glimpse_test = o.glimpse_test if o.focus == "hard" else None
        paths = [()] if glimpse_test != "samples" else ((u,) for u in draw_paths(o, batch))
        total, n = None, 0
        for path in paths:
            outputs = [np.asarray(a) for a in self.functions.predict(self.tparams, glimpse_test, *inputs, *path)]
            total, n = outputs if total is None else [a + b for a, b in zip(total, outputs, strict=True)], n + 1
        probs, *alpha = total if n == 1 else [a / n for a in total]
        return probs, alpha[0] if alpha else None

    def tested_by(self, **changes):
        """The same model with other options that do not change its parameters, such as glimpse_test."""
        model = copy.copy(self)
        model.options = self.options.replace(**changes)
        return model

    def _inputs(self, batch, given):
        o, frames = self.options, self.frames(batch.frames)
        inputs = [*(frames if isinstance(frames, list) else [frames]), batch.index, batch.mask.astype(o.floatX)]
        if (given is None) != (self.functions.graph.given is None):
            raise ValueError("glimpses are given to a model with attention 'given', and to no other")
        if given is not None:
            inputs.append(np.broadcast_to(given, (*batch.index.shape, o.all_locations)).astype(o.floatX))
        return inputs


def draw_masks(options, rng, drop=True):
    """The random numbers of an update, a list of arrays: dropout masks of 0 and 1 (uint8), then those of focus `hard`.

    A row of n numbers of a dropout mask takes ceil(n / 8) bytes from rng, which may be None if nothing is drawn. drop:
    see `Model.update`.
    """
    shapes, masks, start = dropout_shapes(options).values(), [], 0
    packed = [(*rows, -(-n // 8)) for *rows, n in shapes]
    data = np.frombuffer(rng.bytes(sum(int(np.prod(shape)) for shape in packed)) if packed else b"", "uint8")
    bits = np.unpackbits(data, bitorder="little") if drop else np.ones(8 * len(data), "uint8")
    for (*rows, n_bytes), (*_, n) in zip(packed, shapes, strict=True):
        end = start + 8 * n_bytes * int(np.prod(rows))
        masks.append(bits[start:end].reshape(*rows, 8 * n_bytes)[..., :n])
        start = end
    draws = drawn_shapes(options, training=True)
    if "focus_uniform" in draws:
        masks.append(uniform(rng, (options.maxlen, options.batch_size)).astype(options.floatX))
    if "focus_expected" in draws:
        coins = uniform(rng, options.batch_size) < 0.5
        masks.append(np.broadcast_to(coins, (options.maxlen, options.batch_size)).astype("uint8"))
    return masks


def uniform(rng, shape):
    """Multiples of 2^-23 in [0, 1), which are the same numbers in single and double precision."""
    bits = np.frombuffer(rng.bytes(4 * int(np.prod(shape))), "<u4").reshape(shape)
    return (bits >> 9) * 2.0**-23


def draw_paths(options, batch):
    """Uniform numbers (n_samples, T, B) for paths. They depend on the seed and on the number of a window alone."""
    o, numbers = options, np.zeros((options.n_samples, options.maxlen, batch.index.shape[1]), options.floatX)
    for b, window in enumerate(batch.windows):
        numbers[:, :, b] = uniform(np.random.default_rng([o.seed, 3, int(window)]), (o.n_samples, o.maxlen))
    return numbers


@functools.lru_cache(maxsize=1)
def _functions(options, frames_dtype):
    return Functions(options, frames_dtype)


def model_for(options, frames_dtype, started=True):
    """A new Model. If it has the graph of the last one, it shares that one's compiled functions."""
    return Model(options, functions=_functions(graph_options(options), str(frames_dtype)), started=started)

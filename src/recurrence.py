"""A loop over time, and its gradient as a second loop that runs backwards: back-propagation through time.

`pytensor.grad` of a scan would do, but its loop computes the forward loop's matrix products once more before it
differentiates them, and adds to the gradients of all weights at every step. Here the second loop starts from what the
first one kept, and gives the gradients by the results of matrix products at all steps; from these a weight's gradient
is one product over T*B rows.
"""

from dataclasses import dataclass

import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import clone_replace, graph_replace


@dataclass
class Product:
    """A result x W + b in the step whose weights' gradients are computed after the loop."""

    x: str  # name of what is multiplied, (B, n)
    weights: dict  # name of a weight -> rows of it; if several, x is what multiplies them, side by side
    bias: str | None = None


class Loop:
    """new = step(now, before, weights) for each of T steps; all arguments and results are dicts name -> variable.

    sequences: (T, ...) each, of which `now` has one entry; initial: the states before the first step, which `new` must
    hold too; weights: what is the same at all steps. outputs: name -> (T, ...), all states and what is named in `kept`
    and `wanted`. kept: what the backward loop is not to compute again: results of products and whatever else is dear;
    products: name of the result -> Product. known(now, weights): results that were computed before the loop, name ->
    value; neither loop computes them, but their gradients are those of the step's formulas.
    """

    def __init__(self, step, sequences, initial, weights, kept=(), wanted=(), products=None, known=None):
        self.step, self.sequences, self.initial, self.weights = step, sequences, initial, weights
        self.kept, self.products, self.known = kept, products or {}, known or (lambda now, weights: {})
        emitted = [name for name in dict.fromkeys([*kept, *wanted]) if name not in initial]

        def forward(*args):
            inner = [arg.type() for arg in args]
            rest = iter(inner)
            now, before, constant = ({name: next(rest) for name in names} for names in (sequences, initial, weights))
            new = step(now, before, constant)
            values = {new[name]: value for name, value in self.known(now, constant).items()}
            return _replaced([new[name] for name in (*initial, *emitted)], values, inner, args)

        outputs = pytensor.scan(
            forward,
            sequences=list(sequences.values()),
            outputs_info=[*initial.values()] + [None] * len(emitted),
            non_sequences=list(weights.values()),
            strict=True,
            return_updates=False,
        )
        self.outputs = dict(zip((*initial, *emitted), outputs, strict=True))

    def gradients(self, by_outputs, by_weights=()):
        """Gradients by what enters the loop, from those by its outputs, name -> (T, ...).

        Returns a dict: of every name in `initial`, of the weights and biases of `products` and those in `by_weights`.
        """
        T = next(iter(self.sequences.values())).shape[0]
        own = {name: weight for name, weight in self.weights.items() if name in by_weights}
        given = {f"by {name}": g for name, g in by_outputs.items()} | self.sequences
        given |= {name: self.outputs[name] for name in (*self.initial, *self.kept)}

        def backward(*args):
            inner = [arg.type() for arg in args]
            t, *rest = inner
            rest = iter(rest)
            by_state, sums = ({name: next(rest) for name in names} for names in (self.initial, own))
            of_steps, first, weights = (
                {name: next(rest) for name in names} for names in (given, self.initial, self.weights)
            )
            now = {name: of_steps[name][t] for name in self.sequences}
            before = {name: pt.switch(pt.eq(t, 0), first[name], of_steps[name][pt.maximum(t - 1, 0)]) for name in first}
            new = self.step(now, before, weights)
            # a number whose gradient is the step's vector-Jacobian product
            product = sum((new[name] * g).sum() for name, g in by_state.items())
            product += sum((new[name] * of_steps[f"by {name}"][t]).sum() for name in by_outputs)
            wrt = [*before.values(), *(weights[name] for name in own), *(new[name] for name in self.products)]
            grads = iter(pytensor.grad(product, wrt, disconnected_inputs="ignore"))
            results = [next(grads) for _ in first] + [total + next(grads) for total in sums.values()] + list(grads)
            results += [new[product.x] for product in self.products.values()]
            values = {new[name]: value for name, value in self.known(now, weights).items()}
            return _replaced(results, values | {new[name]: of_steps[name][t] for name in self.kept}, inner, args)

        results = pytensor.scan(
            backward,
            sequences=[pt.arange(T)[::-1]],
            outputs_info=[*(pt.zeros_like(s) for s in (*self.initial.values(), *own.values()))]
            + [None] * (2 * len(self.products)),
            non_sequences=[*given.values(), *self.initial.values(), *self.weights.values()],
            strict=True,
            return_updates=False,
        )
        results = iter(results)
        grads = {name: next(results)[-1] for name in (*self.initial, *own)}
        steps = {name: next(results) for name in self.products}
        for name, product in self.products.items():
            x, y = (v.reshape((-1, v.shape[-1])) for v in (next(results), steps[name]))
            by_rows, first = x.T @ y, 0
            for weight, rows in product.weights.items():
                grads[weight], first = by_rows[first : first + rows], first + rows
            if product.bias:
                grads[product.bias] = y.sum(axis=0)
        return grads


def _replaced(results, values, inner, args):
    """A step's results where `values`, variable -> value, were put in, and then args for its own inputs `inner`.

    Replacing copies what lies before; were the step built on args, that would be the graph around the loop too.
    """
    return graph_replace(clone_replace(results, values), dict(zip(inner, args, strict=True)), strict=False)

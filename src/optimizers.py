"""Optimizers. Each maps parameters and their gradients to updates, an ordered dict shared variable -> new value.

The arguments are the same for all: lr, the learning rate, a scalar; tparams, name -> shared variable of each parameter;
grads, the gradients in the order of tparams. The optimizer's state consists of named shared variables, 0 at first. They
are keys of the updates too.
"""

from collections import OrderedDict

import numpy as np
import pytensor
import pytensor.tensor as pt


def _like(variable, name):
    shape = variable.type.shape
    return pytensor.shared(np.zeros(shape, variable.type.dtype), name=f"{variable.name}_{name}", shape=shape)


def _adam(tparams, grads, rate_and_eps):
    step = pytensor.shared(np.asarray(0, pytensor.config.floatX), name="adam_step", shape=())
    rate, eps = rate_and_eps(step + 1)
    updates = OrderedDict([(step, step + 1)])
    for param, grad in zip(tparams.values(), grads, strict=True):
        m, v = _like(param, "adam_m"), _like(param, "adam_v")
        updates[m] = 0.9 * m + 0.1 * grad
        updates[v] = 0.999 * v + 0.001 * grad**2
        updates[param] = param - rate * updates[m] / (pt.sqrt(updates[v]) + eps)
    return updates


def adam(lr, tparams, grads):
    """Textbook Adam (Kingma & Ba 2015, Algorithm 1) with beta_1 0.9, beta_2 0.999, epsilon 1e-8."""

    def rate_and_eps(t):
        correction = pt.sqrt(1 - 0.999**t)
        # In the paper eps is added to sqrt(v / (1 - 0.999^t)). Here the correction is factored out of that sum.
        return lr * correction / (1 - 0.9**t), 1e-8 * correction

    return _adam(tparams, grads, rate_and_eps)


def adam_released(lr, tparams, grads):
    """The released program's Adam (its src/actrec.py, adam). Its rate is 2e-4, lr is not used.

    It corrects the bias with powers of 0.1 and 0.001, the weights of the new gradient, instead of 0.9 and 0.999. That
    is almost no correction.
    """
    return _adam(tparams, grads, lambda t: (2e-4 * pt.sqrt(1 - 0.001**t) / (1 - 0.1**t), 1e-8))


def adadelta(lr, tparams, grads):
    """Adadelta (Zeiler 2012, Algorithm 1) with the released program's constants rho 0.95 and eps 1e-6. lr is unused."""
    updates = OrderedDict()
    for param, grad in zip(tparams.values(), grads, strict=True):
        grad2, step2 = _like(param, "adadelta_grad2"), _like(param, "adadelta_step2")
        updates[grad2] = 0.95 * grad2 + 0.05 * grad**2
        step = -pt.sqrt(step2 + 1e-6) / pt.sqrt(updates[grad2] + 1e-6) * grad
        updates[step2] = 0.95 * step2 + 0.05 * step**2
        updates[param] = param + step
    return updates


def rmsprop(lr, tparams, grads):
    """RMSProp with momentum, which divides by the gradient's standard deviation (Graves 2013, Eqs. 38-45).

    Its constants are the released program's. Its rate is 1e-4, lr is not used.
    """
    updates = OrderedDict()
    for param, grad in zip(tparams.values(), grads, strict=True):
        mean, mean2, step = (_like(param, f"rmsprop_{name}") for name in ("mean", "mean2", "step"))
        updates[mean] = 0.95 * mean + 0.05 * grad
        updates[mean2] = 0.95 * mean2 + 0.05 * grad**2
        updates[step] = 0.9 * step - 1e-4 * grad / pt.sqrt(updates[mean2] - updates[mean] ** 2 + 1e-4)
        updates[param] = param + updates[step]
    return updates


def sgd(lr, tparams, grads):
    """param - lr * grad."""
    return OrderedDict((param, param - lr * grad) for param, grad in zip(tparams.values(), grads, strict=True))


OPTIMIZERS = {"adam": adam, "adam_released": adam_released, "adadelta": adadelta, "rmsprop": rmsprop, "sgd": sgd}

"""Optimizers: each maps parameters and gradients to an ordered dict of updates.

Keys of the dict are the shared variables of the parameters and of the optimizer's own state, which has names.
"""

from collections import OrderedDict

import numpy as np
import pytensor
import pytensor.tensor as pt


def _like(variable, name):
    value = variable.get_value(borrow=True)
    return pytensor.shared(np.zeros_like(value), name=f"{variable.name}_{name}", shape=value.shape)


def adam(lr, tparams, grads, b1=0.9, b2=0.999, eps=1e-8):
    """Textbook Adam (Kingma & Ba 2015, Algorithm 1). lr: scalar; tparams: name -> shared; grads: in tparams' order."""
    step = pytensor.shared(np.asarray(0, pytensor.config.floatX), name="adam_step", shape=())
    t = step + 1
    updates = OrderedDict([(step, t)])
    rate = lr * pt.sqrt(1 - b2**t) / (1 - b1**t)
    for param, grad in zip(tparams.values(), grads, strict=True):
        m, v = _like(param, "adam_m"), _like(param, "adam_v")
        m_t = b1 * m + (1 - b1) * grad
        v_t = b2 * v + (1 - b2) * grad**2
        updates[m], updates[v] = m_t, v_t
        # eps belongs to sqrt(v_t / (1 - b2^t)); moved outside of the bias correction it must be scaled likewise
        updates[param] = param - rate * m_t / (pt.sqrt(v_t) + eps * pt.sqrt(1 - b2**t))
    return updates


def sgd(lr, tparams, grads):
    """param - lr * grad."""
    return OrderedDict((param, param - lr * grad) for param, grad in zip(tparams.values(), grads, strict=True))


OPTIMIZERS = {"adam": adam, "sgd": sgd}

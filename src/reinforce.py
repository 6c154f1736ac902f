"""REINFORCE: the gradient of the expected cost where locations are drawn, for focus `hard`.

A path s = s_1 ... s_T is drawn with probability p(s), and the window's cost C(s) depends on it. The expected cost
sum over s of p(s) C(s) bounds the cost of the marginal p(y) from above (Jensen; Xu et al. 2015, section 4.1). The
gradient with respect to the parameters theta is the mean over paths (Williams 1992, Theorem 1) of

    dC(s)/dtheta + sum over t of (C_t(s) - b_t) d log alpha_{t,s_t} / dtheta.

C_t is what s_t can still change: the cross-entropies and entropy bonuses from step t on, and the penalty, which is of
all steps. The reward is -C_t. The baseline b_t does not depend on s_t, so that it changes only the variance.
Shapes: T time steps, B windows, L locations, d LSTM size.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from visual_attention.focus import one_hot
from visual_attention.layers import affine

TINY = 1e-30  # instead of weights that are 0 in floating point


def reinforce(params, options, path, masks, mask, cross_entropy, penalty):  # 7 parameters: what C(s) is made of
    """What the cost gets besides Eq. 7, averaged over windows, and updates, shared variable -> new value.

    The entropy bonus has a value. The rest has the value 0, and the gradient that the module states.
    path: a dict of alpha (T, B, L), drawn (T, B), top (T, B, d) and init_top (B, d). mask and cross_entropy (T, B);
    penalty (B,).
    """
    alpha, n_windows = path["alpha"], mask.max(axis=0).sum()
    bonus = options.entropy_c * entropy(alpha) * mask
    to_go = disconnected_grad(from_here_on(cross_entropy * mask - bonus) + penalty)  # C_t, (T, B)
    is_drawn = mask * (1 - masks["focus_expected"]) if "focus_expected" in masks else mask
    n_steps = from_here_on(mask)
    baseline, error, updates = BASELINES[options.baseline](params, path, is_drawn, to_go / pt.maximum(n_steps, 1))
    advantage = disconnected_grad(is_drawn * (to_go - n_steps * baseline))
    log_prob = pt.log(pt.maximum((one_hot(path["drawn"], options) * alpha).sum(axis=2), TINY))
    surrogate = (advantage * log_prob).sum() + error
    return (surrogate - disconnected_grad(surrogate) - bonus.sum()) / n_windows, updates


def entropy(alpha):
    """- sum over i of alpha_i log alpha_i, in nats; (T, B, L) -> (T, B)."""
    return -(alpha * pt.log(pt.maximum(alpha, TINY))).sum(axis=2)


def from_here_on(x):
    """The sum over this step and all later ones; (T, B) -> (T, B)."""
    return x[::-1].cumsum(axis=0)[::-1]


# ---------------------------------------------------------------- baselines

# Each maps params, path, is_drawn (T, B), and targets (T, B), which are C_t per step that is left, to: an estimate of
# the targets that broadcasts to (T, B); what the cost gets, so that parameters of the baseline are trained; updates.


def no_baseline(params, path, is_drawn, target):
    """b_t = 0."""
    return 0.0, 0.0, {}


def moving_baseline(params, path, is_drawn, target):
    """A moving average over updates for each step: b <- 0.9 b + 0.1 mean over windows (Xu et al. 2015, section 4.1)."""
    T = is_drawn.type.shape[0]
    average = pytensor.shared(np.zeros(T, is_drawn.type.dtype), name="baseline", shape=(T,))
    error = (is_drawn * (target - average[:, None])).sum(axis=1) / pt.maximum(is_drawn.sum(axis=1), 1)
    return average[:, None], 0.0, {average: average + 0.1 * error}


def state_baseline(params, path, is_drawn, target):
    """W h_{t-1} + b of the top LSTM layer, trained by squared error. The state gets no gradient from it."""
    before = pt.concatenate([path["init_top"][None], path["top"][:-1]])  # (T, B, d)
    estimate = affine(disconnected_grad(before), params["baseline_W"], params["baseline_b"]).squeeze(2)
    return estimate, (is_drawn * (target - estimate) ** 2).sum(), {}


BASELINES = {"none": no_baseline, "moving": moving_baseline, "state": state_baseline}

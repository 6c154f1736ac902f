"""The paper's equations and the released code's attention in plain NumPy, apart from the graph: the reference."""

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(p, o, x, mask, drop=None):
    """p: name -> array; o: Options; x (T, B, L, D); mask (T, B); drop: name -> mask of 0 and 2, or None.

    Returns probabilities (T, B, C), logits and glimpses (T, B, L) or None.
    """
    T, B, L, D = x.shape
    drop = drop or {}
    if o.pooling == "cube":
        logits = np.stack([x[t].reshape(B, L * D) @ p["ff_logit_W"] + p["ff_logit_b"] for t in range(T)])
        return (sigmoid if o.multilabel else softmax)(logits), logits, None
    mu = x.mean(axis=(0, 2))  # Eq. 6
    for k in range(1, o.n_layers_init):
        mu = np.maximum(0, mu @ p[f"ff_init_{k}_W"] + p[f"ff_init_{k}_b"]) * drop.get("init", 1)
    suffix = [""] + [f"_{k + 1}" for k in range(1, o.n_layers_lstm)]
    h = [np.tanh(mu @ p[f"ff_state{s}_W"] + p[f"ff_state{s}_b"]) for s in suffix]
    c = [np.tanh(mu @ p[f"ff_memory{s}_W"] + p[f"ff_memory{s}_b"]) for s in suffix]
    logits, alphas = [], []
    for t in range(T):
        if o.pooling == "mean":
            z = x[t].sum(axis=1) / L
        elif o.pooling == "max":
            z = x[t].max(axis=1)
        else:
            if o.attention == "location":  # Eq. 4
                a = softmax(h[-1] @ p["decoder_W_loc"])
            else:
                inner = np.einsum("bld,de->ble", x[t], p["decoder_Wc_att"]) + p["decoder_b_att"]
                inner = np.tanh(inner + (h[-1] @ p["decoder_Wd_att"])[:, None])
                a = softmax(np.einsum("ble,e->bl", inner, p["decoder_U_att"][:, 0]) + p["decoder_c_tt"])
            alphas.append(a)
            z = np.einsum("bl,bld->bd", a, x[t])  # Eq. 5
        m = mask[t][:, None]
        for k, s in enumerate(suffix):  # Eqs. 1-3
            z = z * drop[f"layer_{k}"][t] if drop else z
            gates = z @ p[f"decoder{s}_W"] + h[k] @ p[f"decoder{s}_U"] + p[f"decoder{s}_b"]
            i, f, out, g = np.split(gates, 4, axis=1)
            new_c = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
            new_h = sigmoid(out) * np.tanh(new_c)
            h[k], c[k] = m * new_h + (1 - m) * h[k], m * new_c + (1 - m) * c[k]
            z = h[k]
        z = z * drop["head_h"][t] if drop else z
        hidden = np.tanh(z @ p["ff_logit_lstm_W"] + p["ff_logit_lstm_b"])
        hidden = hidden * drop["head_hidden"][t] if drop else hidden
        logits.append(hidden @ p["ff_logit_W"] + p["ff_logit_b"])
    logits = np.stack(logits)
    return (sigmoid if o.multilabel else softmax)(logits), logits, np.stack(alphas) if alphas else None


def cost(p, o, x, mask, y, drop=None):
    """Eq. 7: the mean over windows that are not padding."""
    probs, _, alpha = forward(p, o, x, mask, drop)
    total, windows = 0.0, 0
    for b in range(x.shape[1]):
        if not mask[:, b].any():
            continue
        windows += 1
        for t in range(len(x)):
            if mask[t, b] and o.multilabel:
                total -= np.sum(y[b] * np.log(probs[t, b]) + (1 - y[b]) * np.log(1 - probs[t, b]))
            elif mask[t, b]:
                total -= np.log(probs[t, b, y[b]])
        if alpha is not None:
            seen = (alpha[:, b] * mask[:, b, None]).sum(axis=0)
            total += o.alpha_c * np.sum((1 - seen) ** 2)
    return total / windows + o.decay_c * sum(np.sum(v**2) for v in p.values())

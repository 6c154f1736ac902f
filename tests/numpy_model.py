"""The paper's equations and the released code's attention in plain NumPy, apart from the graph: the reference."""

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(p, o, x, mask, drop=None, states=None, glimpse=None):
    """p: name -> array; o: Options; x (T, B, L, D), of two layers (T, B, L_1 D_1 + L_2 D_2); mask (T, B).

    drop: name -> mask of what kept and dropped entries are multiplied by, or None in testing.
    states: a list to which h and c of the first layer, (B, d), are appended at each step.
    glimpse: a kind of attention that is not the project's: (p, x_t, h, alpha) of the step before -> alpha (B, L).
    Returns probabilities (T, B, C), logits and glimpses (T, B, L) or None.
    """
    if o.resolutions != "one":
        coarse, fine = np.split(x, [o.n_locations * o.ctx_dim], axis=-1)
        coarse = coarse.reshape(*x.shape[:2], o.n_locations, -1) @ p["decoder_V"]
        fine = fine.reshape(*x.shape[:2], o.fine_locations, -1) @ p["decoder_V_fine"]
        x = np.concatenate([coarse, fine], axis=2)
    T, B, L, D = x.shape
    head = sigmoid if o.multilabel else softmax
    if o.pooling == "cube":
        logits = np.stack([x[t].reshape(B, L * D) @ p["ff_logit_W"] + p["ff_logit_b"] for t in range(T)])
        return head(logits), logits, None

    def dropped(z, name, t=None):
        if drop is None:  # the released program halves in testing, but has no dropout inside its LSTM
            halved = o.use_dropout and o.dropout == "released" and not name.startswith("layer")
            return z * 0.5 if halved else z
        return z * (1 if name not in drop else drop[name] if t is None else drop[name][t])

    mu = x.mean(axis=(0, 2))  # Eq. 6
    for k in range(1, o.n_layers_init):
        mu = dropped(np.maximum(0, mu @ p[f"ff_init_{k}_W"] + p[f"ff_init_{k}_b"]), f"init_{k}")
    suffix = [""] + [f"_{k + 1}" for k in range(1, o.n_layers_lstm)]
    h = [np.tanh(mu @ p[f"ff_state{s}_W"] + p[f"ff_state{s}_b"]) for s in suffix]
    c = [np.tanh(mu @ p[f"ff_memory{s}_W"] + p[f"ff_memory{s}_b"]) for s in suffix]
    logits, alphas, a = [], [], np.full((B, L), 1 / L)
    for t in range(T):
        before = h[-1]
        if o.pooling == "mean":
            z = x[t].sum(axis=1) / L
        elif o.pooling == "max":
            z = x[t].max(axis=1)
        else:
            if glimpse:
                a = glimpse(p, x[t], before, a)
            elif o.attention == "location":  # Eq. 4
                a = softmax(o.temperature_inverse * (before @ p["decoder_W_loc"]))
            else:
                inner = np.einsum("bld,de->ble", x[t], p["decoder_Wc_att"]) + p["decoder_b_att"]
                for k in range(1, o.n_layers_att):
                    inner = inner if k == 1 else np.tanh(inner)
                    inner = np.einsum("bld,de->ble", inner, p[f"decoder_W_att_{k}"]) + p[f"decoder_b_att_{k}"]
                inner = np.tanh(inner + (before @ p["decoder_Wd_att"])[:, None])
                score = np.einsum("ble,e->bl", inner, p["decoder_U_att"][:, 0]) + p["decoder_c_tt"]
                a = softmax(o.temperature_inverse * score)
            if o.resolutions == "choose":
                of_layer = softmax(before @ p["decoder_W_layer"])
                n = o.n_locations
                within = [part / part.sum(axis=1, keepdims=True) for part in (a[:, :n], a[:, n:])]
                a = np.concatenate([of_layer[:, :1] * within[0], of_layer[:, 1:] * within[1]], axis=1)
            if o.focus == "hybrid":  # what is not among the k largest becomes 0
                a = a * (a >= np.sort(a, axis=1)[:, -o.top_k, None])
                a = a / a.sum(axis=1, keepdims=True)
            alphas.append(a)
            z = np.einsum("bl,bld->bd", a, x[t])  # Eq. 5
        if o.selector:
            z = z * sigmoid(before @ p["decoder_W_sel"] + p["decoder_b_sel"])
        ctx, m = z, mask[t][:, None]
        for k, s in enumerate(suffix):  # Eqs. 1-3
            z = dropped(z, f"layer_{k}", t)
            gates = z @ p[f"decoder{s}_W"] + h[k] @ p[f"decoder{s}_U"] + p[f"decoder{s}_b"]
            i, f, out, g = np.split(gates, 4, axis=1)
            new_c = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
            new_h = sigmoid(out) * np.tanh(new_c)
            h[k], c[k] = m * new_h + (1 - m) * h[k], m * new_c + (1 - m) * c[k]
            z = h[k]
        if states is not None:
            states.append((h[0], c[0]))
        hidden = dropped(z, "head_h", t) @ p["ff_logit_lstm_W"] + p["ff_logit_lstm_b"]
        if o.ctx2out:
            ctx = dropped(ctx, "head_ctx", t) if o.dropout == "paper" else ctx
            hidden = hidden + ctx @ p["ff_logit_ctx_W"] + p["ff_logit_ctx_b"]
        hidden = dropped(np.tanh(hidden), "head_hidden", t)
        for k in range(1, o.n_layers_out):
            hidden = dropped(np.maximum(0, hidden @ p[f"ff_logit_h{k}_W"] + p[f"ff_logit_h{k}_b"]), f"head_{k}", t)
        logits.append(hidden @ p["ff_logit_W"] + p["ff_logit_b"])
    logits = np.stack(logits)
    return head(logits), logits, np.stack(alphas) if alphas else None


def cost(p, o, x, mask, y, drop=None, glimpse=None):
    """Eq. 7, the mean over windows that are not padding; or the released program's sum."""
    probs, _, alpha = forward(p, o, x, mask, drop, glimpse=glimpse)
    released = o.cost == "released"
    small, total, windows = 1e-8 if released else 0, 0.0, 0
    for b in range(x.shape[1]):
        if not mask[:, b].any():
            continue
        windows += 1
        for t in range(len(x)):
            if mask[t, b] and o.multilabel:
                total -= np.sum(y[b] * np.log(probs[t, b] + small) + (1 - y[b]) * np.log(1 - probs[t, b] + small))
            elif mask[t, b]:
                total -= np.log(probs[t, b, y[b]] + small)
        if alpha is not None and not released:
            seen = (alpha[:, b] * mask[:, b, None]).sum(axis=0)
            total += o.alpha_c * np.sum((1 - seen) ** 2)
    if released and alpha is not None:
        total += o.alpha_c * np.mean(np.sum((1 - alpha.sum(axis=0)) ** 2, axis=0))
    return total / (1 if released else windows) + o.decay_c * sum(np.sum(v**2) for v in p.values())

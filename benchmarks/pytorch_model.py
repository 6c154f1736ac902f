"""The same models as a good PyTorch user would write them, with LSTMCell, einsum and fused Adam.

They serve as the rival in speed measurements. They compute the same as the project's graph, for recipes `paper` and
`released` with one label per video.
"""

import torch
import torch.nn.functional as F
from torch import nn


class MLPAttention(nn.Module):
    """The released program's attention: softmax of U tanh(Wc X + Wd h + b) + c."""

    def __init__(self, depth, dim):
        super().__init__()
        self.cube, self.state, self.score = (
            nn.Linear(depth, depth),
            nn.Linear(dim, depth, bias=False),
            nn.Linear(depth, 1),
        )

    def forward(self, projection, h):
        return self.score(torch.tanh(projection + self.state(h)[:, None])).squeeze(-1)


class ActionRecognizer(nn.Module):
    """Cubes (B, T, L, D) -> logits (B, T, C) and glimpses (B, T, L)."""

    def __init__(self, options):
        super().__init__()
        o, self.options = options, options
        self.init = nn.ModuleList(nn.Linear(o.ctx_dim, o.ctx_dim) for _ in range(1, o.n_layers_init))
        self.init_h = nn.ModuleList(nn.Linear(o.ctx_dim, o.dim) for _ in range(o.n_layers_lstm))
        self.init_c = nn.ModuleList(nn.Linear(o.ctx_dim, o.dim) for _ in range(o.n_layers_lstm))
        self.attention = (
            nn.Linear(o.dim, o.n_locations, bias=False) if o.attention == "location" else MLPAttention(o.ctx_dim, o.dim)
        )
        self.cells = nn.ModuleList(nn.LSTMCell(o.dim if k else o.ctx_dim, o.dim) for k in range(o.n_layers_lstm))
        self.hidden, self.out = nn.Linear(o.dim, o.dim_out), nn.Linear(o.dim_out, o.n_actions)

    def drop(self, x):
        if self.options.dropout == "released" and not self.training:
            return x / 2
        return F.dropout(x, 0.5, self.training and self.options.use_dropout)

    @torch.no_grad()
    def load(self, params):
        """Loads the parameters of the project's model, name -> array."""
        o, attention = self.options, self.attention

        def set_linear(layer, W, b=None):
            layer.weight.copy_(torch.from_numpy(params[W].copy()).T)
            if b:
                layer.bias.copy_(torch.from_numpy(params[b].copy()))

        for k, layer in enumerate(self.init, start=1):
            set_linear(layer, f"ff_init_{k}_W", f"ff_init_{k}_b")
        for k, cell in enumerate(self.cells):
            end = f"_{k + 1}" if k else ""
            set_linear(self.init_h[k], f"ff_state{end}_W", f"ff_state{end}_b")
            set_linear(self.init_c[k], f"ff_memory{end}_W", f"ff_memory{end}_b")
            order = torch.cat([torch.arange(o.dim) + o.dim * g for g in (0, 1, 3, 2)])  # i, f, o, g -> i, f, g, o
            for name, weight in (("W", cell.weight_ih), ("U", cell.weight_hh)):
                weight.copy_(torch.from_numpy(params[f"decoder{end}_{name}"].copy()).T[order])
            cell.bias_ih.copy_(torch.from_numpy(params[f"decoder{end}_b"].copy())[order])
            cell.bias_hh.zero_()
        if o.attention == "location":
            set_linear(attention, "decoder_W_loc")
        else:
            set_linear(attention.cube, "decoder_Wc_att", "decoder_b_att")
            set_linear(attention.state, "decoder_Wd_att")
            set_linear(attention.score, "decoder_U_att", "decoder_c_tt")
        set_linear(self.hidden, "ff_logit_lstm_W", "ff_logit_lstm_b")
        set_linear(self.out, "ff_logit_W", "ff_logit_b")

    def forward(self, cubes):
        released, attention = self.options.dropout == "released", self.attention
        hidden = cubes.mean(dim=(1, 2))
        for layer in self.init:
            hidden = F.relu(layer(hidden))
        h, c = ([torch.tanh(layer(hidden)) for layer in layers] for layers in (self.init_h, self.init_c))
        mlp = isinstance(attention, MLPAttention)
        projection = attention.cube(cubes) if mlp else None
        tops, alphas = [], []
        for t in range(cubes.shape[1]):
            score = attention(projection[:, t], h[-1]) if mlp else attention(h[-1])
            alpha = F.softmax(score, dim=-1)  # (B, L)
            x = torch.einsum("bl,bld->bd", alpha, cubes[:, t])
            for k, cell in enumerate(self.cells):
                h[k], c[k] = cell(x if released else self.drop(x), (h[k], c[k]))
                x = h[k]
            tops.append(x)
            alphas.append(alpha)
        hidden = self.drop(torch.tanh(self.hidden(self.drop(torch.stack(tops, dim=1)))))
        return self.out(hidden), torch.stack(alphas, dim=1)


def cost_of(model, cubes, y):
    """Eq. 7 without weight decay, whose gradient the optimizer adds."""
    options = model.options
    logits, alpha = model(cubes)  # (B, T, C), (B, T, L)
    cost = F.cross_entropy(logits.flatten(0, 1), y.repeat_interleave(cubes.shape[1]), reduction="sum")
    cost = cost / (1 if options.cost == "released" else len(cubes))
    return cost + options.alpha_c * ((1 - alpha.sum(dim=1)) ** 2).sum(dim=-1).mean()

"""The original's second program, for videos with several labels (Hollywood2): the same graph, option `multilabel`."""

from visual_attention.actrec import build_model, init_params
from visual_attention.losses import multilabel_cross_entropy as cross_entropy
from visual_attention.losses import multilabel_probs as class_probabilities

__all__ = ["build_model", "class_probabilities", "cross_entropy", "init_params"]

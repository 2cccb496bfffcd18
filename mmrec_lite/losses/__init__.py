"""The papers' losses, one small function per equation; each returns a scalar, a mean over its batch."""

from mmrec_lite.losses.mcptr import cima_loss, interaction_bce
from mmrec_lite.losses.micro import micro_contrast
from mmrec_lite.losses.pamd import cosine_gap, disentangle_loss, gap, order_loss, pointwise_loss
from mmrec_lite.losses.ranking import bpr_loss, embedding_l2

__all__ = [
    "bpr_loss",
    "cima_loss",
    "cosine_gap",
    "disentangle_loss",
    "embedding_l2",
    "gap",
    "interaction_bce",
    "micro_contrast",
    "order_loss",
    "pointwise_loss",
]

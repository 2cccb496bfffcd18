"""The papers' losses, a small function per equation: most return a scalar, the batch's mean; the others say what."""

from mmrec_lite.losses.mcptr import cima_loss, interaction_bce
from mmrec_lite.losses.micro import micro_contrast
from mmrec_lite.losses.mp4sr import catalogue_scores, cross_modal_loss, next_item_cross_entropy, next_item_loss
from mmrec_lite.losses.pamd import cosine_gap, disentangle_loss, gap, order_loss, pointwise_loss
from mmrec_lite.losses.ranking import bpr_loss, embedding_l2

__all__ = [
    "bpr_loss",
    "catalogue_scores",
    "cima_loss",
    "cosine_gap",
    "cross_modal_loss",
    "disentangle_loss",
    "embedding_l2",
    "gap",
    "interaction_bce",
    "micro_contrast",
    "next_item_cross_entropy",
    "next_item_loss",
    "order_loss",
    "pointwise_loss",
]

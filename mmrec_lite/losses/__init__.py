"""The papers' losses, one small function per equation; each returns a scalar, a mean over its batch."""

from mmrec_lite.losses.micro import micro_contrast
from mmrec_lite.losses.ranking import bpr_loss, embedding_l2

__all__ = ["bpr_loss", "embedding_l2", "micro_contrast"]

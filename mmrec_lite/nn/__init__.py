"""The papers' layers."""

from mmrec_lite.nn.disentangle import CrossModalMap, DisentangledEncoder, ModalityAttention, split_common_specific
from mmrec_lite.nn.fusion import AttentionFusion

__all__ = ["AttentionFusion", "CrossModalMap", "DisentangledEncoder", "ModalityAttention", "split_common_specific"]

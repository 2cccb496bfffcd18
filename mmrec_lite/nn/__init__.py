"""The papers' layers."""

from mmrec_lite.nn.disentangle import CrossModalMap, DisentangledEncoder, ModalityAttention, split_common_specific
from mmrec_lite.nn.fusion import AttentionFusion
from mmrec_lite.nn.mixgcf import hop_layers, mixgcf_loss, mixgcf_negatives
from mmrec_lite.nn.modal import GraphEncoder, ModalAttentionPool, ModalEncoder, principal_features

__all__ = [
    "AttentionFusion",
    "CrossModalMap",
    "DisentangledEncoder",
    "GraphEncoder",
    "ModalAttentionPool",
    "ModalEncoder",
    "ModalityAttention",
    "hop_layers",
    "mixgcf_loss",
    "mixgcf_negatives",
    "principal_features",
    "split_common_specific",
]

"""The papers' layers."""

from mmrec_lite.nn.disentangle import CrossModalMap, DisentangledEncoder, ModalityAttention, split_common_specific
from mmrec_lite.nn.fusion import AttentionFusion
from mmrec_lite.nn.mixgcf import hop_layers, mixgcf_loss, mixgcf_negatives
from mmrec_lite.nn.modal import GraphEncoder, ModalAttentionPool, ModalEncoder, principal_features
from mmrec_lite.nn.mp4sr import ContentEncoder, MixtureOfExperts, SentenceAttention, complementary_mixup, drop_items
from mmrec_lite.nn.named import ModulesByName
from mmrec_lite.nn.transformer import CausalTransformer

__all__ = [
    "AttentionFusion",
    "CausalTransformer",
    "ContentEncoder",
    "CrossModalMap",
    "DisentangledEncoder",
    "GraphEncoder",
    "MixtureOfExperts",
    "ModalAttentionPool",
    "ModalEncoder",
    "ModalityAttention",
    "ModulesByName",
    "SentenceAttention",
    "complementary_mixup",
    "drop_items",
    "hop_layers",
    "mixgcf_loss",
    "mixgcf_negatives",
    "principal_features",
    "split_common_specific",
]

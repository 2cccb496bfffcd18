"""The papers' layers."""

from mmrec_lite.nn.fusion import AttentionFusion

__all__ = ["AttentionFusion"]

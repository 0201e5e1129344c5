"""Grey-level co-occurrence matrices: exact counts, differentiable counts, their properties and the texture loss.

`glcm` and `glcm_properties` equal scikit-image on batches; `soft_glcm` has a gradient; `GLCMLoss` is the loss of Domain
Assimilation (arXiv 2402.16005). Every function has a plain PyTorch way that always works and, on a CPU, a native one.
"""

from sweep.losses.glcm.hard import glcm, glcm_features
from sweep.losses.glcm.kept import KeptTargets
from sweep.losses.glcm.loss import GLCMLoss
from sweep.losses.glcm.properties import PROPERTIES, glcm_properties
from sweep.losses.glcm.soft import soft_glcm

__all__ = ["PROPERTIES", "GLCMLoss", "KeptTargets", "glcm", "glcm_features", "glcm_properties", "soft_glcm"]

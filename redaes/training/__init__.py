"""Training: what the three stages are made of. The doors in ``stages/`` wire it together."""

from redaes.torchvision_compat import make_torchvision_importable

# Before any module of this package imports transformers or trl.
make_torchvision_importable()

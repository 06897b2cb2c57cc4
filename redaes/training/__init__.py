"""Training: what the three stages are made of. ``redaes train`` and the scripts in ``stages/`` wire it together."""

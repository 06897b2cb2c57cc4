"""Training: what the three stages are made of. The doors in ``stages/`` wire it together."""

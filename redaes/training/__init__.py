"""Training: what the three stages are made of. The commands of ``redaes train`` wire it together."""

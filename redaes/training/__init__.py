"""Training: what the three stages are made of. ``redaes train`` wires it together."""

"""Training: the parts of the three stages. The commands of ``redaes train`` put them together."""

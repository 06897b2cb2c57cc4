"""What stands behind :mod:`redaes.assessor`: asking a model, putting both orders together, and holding its reasons
against the pictures."""

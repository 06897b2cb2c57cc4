"""The parts of :mod:`redaes.assessor`: asking a model, combining both orders, and checking its reasons against the
pictures.
"""

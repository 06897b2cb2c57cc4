"""A model that stays loaded for the commands of one user: ``redaes serve --background``.

The service listens on a Unix socket that only its user can reach. ``redaes compare`` hands its words to it before
anything else is imported, and prints what comes back; ``score`` and ``rank`` do their own work and ask the service's
model. Whoever finds no service, another one, or one that is in trouble answers by itself: the results are the same.

``client``, ``place``, ``settings`` and ``wire`` import nothing that takes time.
"""

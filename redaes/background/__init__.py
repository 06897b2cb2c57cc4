"""A model that stays loaded for the commands of one user: ``redaes serve --background``.

The service listens on a Unix socket that only its user can reach. ``redaes compare`` sends its command line to the
service before it imports anything else, and prints what comes back; ``score`` and ``rank`` do their own work and ask
the service's model. A command that finds no service, a service with another model, or one that fails does all the work
itself: the results are the same.

``client``, ``place``, ``settings`` and ``wire`` import nothing that takes long to load.
"""

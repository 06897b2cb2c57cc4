"""Label files as their owners publish them, read in one place for all who need them: evaluation, import, training.

Readers go through a file entry by entry and say of each what it states or why it states nothing; whether one bad entry
spoils a file is for the caller to decide.
"""

"""Label files in their published formats, read in one place for evaluation, import and training.

Readers go through a file entry by entry and return what each states, or why it states nothing; the caller decides
whether one bad entry spoils the file.
"""

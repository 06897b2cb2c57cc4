"""One person's taste: which pictures to ask about, and an adapter that learns from the answers.

::

    questions.py    which two pictures to ask about next
    pair_pool.py    which pair tells most of a direction; pool_reading.py: the pairs as a model reads them
    preference_file.py  the answers, on the disk as they come; all else is about learning
    decisions.py    what somebody decided about two pictures
    reader.py       a model's verdicts about pairs, and what in the last layer they follow from
    direction.py    a taste as one direction in that layer, found by logistic regression
    edits.py        pairs made on the spot, on which the verdicts are to stay
    folds.py        which decisions are held out together
    claim.py        whether anything was learnt
    learning.py     all of that, from decisions to a taste
    reading.py      decisions from lists, folders and an earlier taste
    saving.py card.py   the folder of a taste
    making.py       from sources to that folder
"""

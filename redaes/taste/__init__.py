"""One person's taste: choosing pictures to ask about, and an adapter that learns from the answers.

::

    questions.py    which two pictures to ask about next
    pair_pool.py    which pair tells most about a taste; pool_reading.py: the pairs as a model reads them
    preference_file.py  the answers, written to disk as they come; the other files are about learning
    decisions.py    what somebody decided about two pictures
    reader.py       a model's verdicts about pairs, and the inputs of the last layer behind them
    direction.py    a taste as one direction in that layer, found by logistic regression
    edits.py        generated pairs, on which the verdicts should not change
    folds.py        which decisions are held out together
    claim.py        tests whether anything was learnt
    learning.py     all of that, from decisions to a taste
    reading.py      decisions from lists, folders and an earlier taste
    saving.py card.py   the folder of a taste
    making.py       from sources to that folder
"""

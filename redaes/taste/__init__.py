"""A small adapter learnt from one person's decisions, and whether it learnt anything.

::

    decisions.py    what somebody decided about two pictures
    learning.py     the adapter: trained on some of the decisions and asked about the others, then on all
"""

"""Which data sets settings are chosen on, and which results are reported on: fixed before any trained method was seen.

Settings of CDC were looked for on these collections and tasks before (docs/decisions/0005, 0007, 0010), so they are for
choosing for good: their test images and new classes may be looked at, and no claim of winning rests on them. On the
others no setting of a trained method was ever chosen. The wording of the tasks' hand-crafted templates was, among
two to six each and on zero-shot test accuracy, in favour of the hand-crafted prompt: for the reporting tasks too. A
table may show all of them, and then says which is which.
"""

CHOOSING = ("picto/mammals", "picto/vehicles", "picto/household", "picto/backdrops", "picto/finishes")
"""For choosing."""

REPORTING = (
    "picto/creatures",
    "picto/produce",
    "picto/meals",
    "picto/nature",
    "picto/places",
    "picto/clothing",
    "picto/leisure",
    "picto/office",
    "picto/prints",
    "picto/moods",
    "picto/poses",
)
"""For reporting: eight collections, and three tasks of which language names two."""

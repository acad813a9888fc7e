"""Which data sets settings are chosen on, and which results are reported on: fixed before the first run.

Settings of CDC were looked for on these collections and tasks before (docs/decisions/0005, 0007, 0010), so they are for
choosing for good: their test images and new classes may be looked at, and no claim of winning rests on them. On the
others nothing was ever chosen. A table may show all of them, and then says which is which.
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

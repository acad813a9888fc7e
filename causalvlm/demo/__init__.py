"""The demonstration: what goes wrong in a model that was pre-trained on confounded pictures, and what mends it."""

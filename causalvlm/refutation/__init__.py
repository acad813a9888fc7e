"""Refutations: attempts to show that an effect is not what it claims. One judge per file; `refute` runs them all."""

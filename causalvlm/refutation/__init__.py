"""Refutations: attempts to show that an effect is not what it claims. The leaves return numbers; `verdict` judges."""

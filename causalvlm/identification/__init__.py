"""Which observed quantity equals an effect, found in a causal graph."""

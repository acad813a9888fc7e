"""Causal graphs: what they are, how they are written, and the paper's own."""

"""Labelled photographs: where they lie, how they split, how they are read. Nothing here loads torch."""

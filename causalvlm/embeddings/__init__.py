"""Images as a model sees them: features, logits, labels and factors in one table."""

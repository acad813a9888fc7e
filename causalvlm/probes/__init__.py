"""Task-irrelevant factors: what an embedding knows of them."""

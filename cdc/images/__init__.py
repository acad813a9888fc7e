"""Images on their way to the tower: augmented views, features of files, and the cache that keeps them."""

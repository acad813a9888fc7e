"""What a model does with the factors of a data set, measured and put in words."""

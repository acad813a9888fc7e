"""The methods: what each learns, how it classifies, and the registry that names them."""

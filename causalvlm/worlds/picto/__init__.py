"""Picto: pictures composed from known causes, and the structural causal model that they are drawn from."""

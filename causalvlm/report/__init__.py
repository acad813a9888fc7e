"""A diagnosis as one HTML file that needs nothing beside it, and as plain data."""

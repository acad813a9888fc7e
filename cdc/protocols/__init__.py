"""The protocols of the prompt-learning literature, resumable run by run."""

"""Prompts: hand-crafted templates, the words that learnable ones start from, and their text features."""

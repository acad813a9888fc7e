"""Audits of adapters and of any other model: every question about the mediator S with a number and a verdict."""

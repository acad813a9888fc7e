"""From a data set and a method's settings to an adapter."""

"""Frozen dual encoders behind one small interface: open_clip models, and `photo`, which installs offline."""

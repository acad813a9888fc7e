"""The command line: one module per command, each a plain function with typer annotations."""

"""Tables as notebooks show them, the same as in `cdc`."""

from cdc.markup import html_table as html_table
from cdc.markup import listed as listed

"""Figures. Colours are those of Okabe and Ito, which colour-blind readers can tell apart; shapes differ as well."""

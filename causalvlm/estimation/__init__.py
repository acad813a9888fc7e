"""Estimators of identified effects, one per file. They return numbers; `effect` alone turns numbers into claims."""

"""Estimators of identified effects. The leaves return numbers; `effect` alone turns numbers into claims."""

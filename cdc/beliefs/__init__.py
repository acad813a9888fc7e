"""From logits to opinions to one fused belief: subjective logic and Dempster's rule."""

"""What tools/scaling_model is made of: formulas, policies, what was measured, predictions, pictures."""

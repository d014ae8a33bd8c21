"""What one does with a model once it is there."""

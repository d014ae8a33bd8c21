"""What a model is used for once it is there."""

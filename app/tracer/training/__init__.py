"""Follow a training: its parameters, its steps, and the updates between them."""

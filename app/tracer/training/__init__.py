"""Follow a training: its parameters, its steps, and their updates."""

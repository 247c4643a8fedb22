"""Answer a replay: evaluate the recorded calls again, at the recorded point and around it."""

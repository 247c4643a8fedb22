"""Run the programs of lessons, and record each lesson once for all of its readers."""

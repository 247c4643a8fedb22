"""Send what happens to many listeners at once: the events of a run, and the playhead of a classroom."""

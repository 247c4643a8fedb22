"""Send the events of a run and the playhead of a classroom to many listeners at once."""

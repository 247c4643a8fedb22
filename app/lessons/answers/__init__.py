"""Answer a reader: judge the code that was written, and read the numbers again after one was dragged."""

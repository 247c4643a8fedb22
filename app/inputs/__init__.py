"""Read a posted program, notebook, expression or training, with the options of its recording."""

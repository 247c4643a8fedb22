"""Read what a client posts: a program, notebook, expression or training, with the options of its recording."""

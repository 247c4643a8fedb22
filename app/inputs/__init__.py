"""Read what a client posts: a program, a notebook, an expression or a training, and the options to record it with."""

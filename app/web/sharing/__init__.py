"""Show a run outside its page: in a frame of another page, in a file of its own, as a program or an animation."""

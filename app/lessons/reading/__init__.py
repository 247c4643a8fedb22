"""Read the Markdown of a lesson: its front matter, prose, cells and directives."""

"""Read lessons, evaluate the numbers that their prose states, and judge what a reader writes.

- A **lesson** is a Markdown file with cells and **tasks**, which ask its reader to predict, write, fix or drag.
- A **binding** is an expression that a number of the prose must equal.
- A **probe** is a line added to a recording of a lesson. It reads a variable at the end of a cell.
- The **stage** is the graph beside the text.
- The **bench** runs programs for lessons. The **shelf** has the lessons of a server with their recordings.

Its modules and packages, from the top down. Each imports only from those below it:

- ``checking``: check a lesson against what its cells compute, and rewrite its numbers
- ``shelf.py``: the lessons of a server with their recordings
- ``answers``: judge what a reader writes; read the numbers again after one was dragged
- ``running``: run the programs of lessons, and record each lesson once
- ``values``: evaluate the expressions that numbers are bound to, and write the values as text
- ``library.py``: find Tapedeck's own lessons and those of a folder
- ``reading``: read the Markdown of a lesson, with its front matter, cells and directives
- ``cells``: join cells to programs, add probes, replace a dragged number
- ``document.py``, ``problems.py``, ``typography.py``: a parsed lesson; its problems; numbers in prose
"""

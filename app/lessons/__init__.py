"""Read lessons, evaluate the numbers that their prose states, and judge what a reader writes.

- A **lesson** is a Markdown file with cells and **tasks**, which ask its reader to predict, write, fix or drag.
- A **binding** is an expression that a number of the prose must equal.
- A **probe** is a line added to a recording of a lesson. It reads a variable at the end of a cell.
- The **stage** is the graph beside the text.
- The **bench** runs programs for lessons. The **shelf** has the lessons of a server with their recordings.
"""

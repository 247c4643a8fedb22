"""Read lessons, evaluate the numbers that their prose states, and judge what a reader writes."""

# Broadcasting and sums
# A column [3, 1] and a row [4] are broadcast to a [3, 4] grid; backward sums each gradient back to its own shape.
# Tags: broadcasting, sum
import torch

column = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
row = torch.tensor([1.0, 10.0, 100.0, 1000.0], requires_grad=True)

grid = column * row
grid

total = grid.sum()
total.backward()

column.grad  # every entry is the sum of the row: 1111
row.grad  # every entry is the sum of the column: 6

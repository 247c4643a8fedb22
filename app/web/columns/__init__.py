"""Pack the numbers of many steps and passes by columns, as the page and the charts read them."""

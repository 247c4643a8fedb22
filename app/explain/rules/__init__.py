"""The rules, one module each, named after the code of its findings. The registry lists them."""

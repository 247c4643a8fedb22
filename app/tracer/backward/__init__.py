"""Record backward passes: walk the graph, run the engine, and emit the gradients that its hooks have captured."""

"""Answer a replay: evaluate the recorded calls again, at the recorded values and near them."""

"""One file for each kind of measurement, and the exchanges they are made of."""

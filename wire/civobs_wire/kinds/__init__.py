"""The kinds of measurement, one module each. ``civobs_wire.measurement`` makes a union of them."""

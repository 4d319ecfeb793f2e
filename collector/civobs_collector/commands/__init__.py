"""The commands of ``civobs``, one module each: ``register`` adds its parser, ``run`` does the work."""

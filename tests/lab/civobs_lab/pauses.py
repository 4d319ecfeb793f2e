"""How short pauses may get by the clock, however fast the lab's time passes.

The same for those who set them up (``plans.py``, ``observatory.py``) and for who judges what came of it (``rules.py``).
"""

SHORTEST_KEEPALIVE_S = 2
"""MQTT has whole seconds, and in less than two a late packet would pass for a lost probe."""
SHORTEST_TICK_S = 0.5
"""Between two runs of the detector, so that it leaves the machine to the probes."""

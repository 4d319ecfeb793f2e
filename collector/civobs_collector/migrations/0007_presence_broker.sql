-- Which of the brokers it was enrolled with a probe spoke by, counted from 0; null of agents that do not say. A probe that
-- comes by another than the first may have to: the way to the first is blocked (detect/detours.py).
ALTER TABLE presence ADD COLUMN broker int2;

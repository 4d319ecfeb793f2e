"""Real servers and networks for tests, demonstrations and measurements of the whole."""

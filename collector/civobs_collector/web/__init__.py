"""The public pages: templates, the style sheet, charts drawn on the server. No script is needed to read them."""

"""Results for people: tables on the terminal, figures, and one HTML page."""

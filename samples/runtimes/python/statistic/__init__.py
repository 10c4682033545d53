"""The application's own package."""

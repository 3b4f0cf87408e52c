"""From the wheel that the backend made to one that may leave the house."""

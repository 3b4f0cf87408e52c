"""What is kept on disk for later: nothing of it is believed before its hash was looked at."""

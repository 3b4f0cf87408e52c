"""Where proven wheels are kept, each with its report; what failed lies in `rejected/`."""

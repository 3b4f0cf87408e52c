"""What x86-64 CPUs can do: levels and features, and what this host has and its system enables."""

"""The parts of gpu.py: what is checked, what is timed, and what is printed of both."""

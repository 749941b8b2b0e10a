"""Where a body runs: on a thread, or on an event loop."""

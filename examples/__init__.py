"""Programs that show `boundedjobs` at work; run them from the root of the checkout."""

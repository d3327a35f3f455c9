"""Training: joins model, data, engine and checkpoints, and runs the loop. The stages differ in stages.py alone."""

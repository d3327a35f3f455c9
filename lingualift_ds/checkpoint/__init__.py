"""What a run leaves on disk: checkpoints to go on from, artefacts to hand over. Knows folders, not models."""

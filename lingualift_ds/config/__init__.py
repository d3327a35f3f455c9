"""The run's settings: parsed, checked and frozen before anything heavy is imported. No torch here."""

"""From numbers to words: errors, gates, findings. Plain data only."""

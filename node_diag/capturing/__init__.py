"""The very call a training script makes to torchdiffeq, and the problem it poses."""

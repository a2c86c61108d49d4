"""Many checks over a grid of settings: how much accuracy of a gradient costs how much work."""

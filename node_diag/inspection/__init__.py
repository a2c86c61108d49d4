"""What f and the loss are like, apart from any solver: repeatable, smooth, well differentiated."""

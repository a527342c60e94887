"""What several models share: blocks, conditioning, resampling, and how weights are normalised."""

"""How good a translated video is: steady, sharp, free of ghosts and seams, in step with its source."""

"""Generators as files, and engines that run them. Imports neither `cgvideo` nor `trainer`."""

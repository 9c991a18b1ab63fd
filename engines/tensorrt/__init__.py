"""Generators by TensorRT: built anywhere (for RTX) or on the GPU itself, run on NVIDIA GPUs."""

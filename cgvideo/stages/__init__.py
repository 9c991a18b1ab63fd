"""What a frame goes through between decoding and encoding."""

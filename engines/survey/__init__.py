"""What a machine offers an engine; what could crash or hang is asked in a child process."""

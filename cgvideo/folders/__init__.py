"""Pictures, and folders of pictures and videos."""

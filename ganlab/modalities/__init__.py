"""What samples are: how those that are stored become those that networks see, and back."""

"""What is watched while the pictures pass, in flat memory."""

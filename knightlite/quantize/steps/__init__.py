"""What is tried on top of the choice of scales: judged on other pictures, kept or undone."""

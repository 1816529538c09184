"""What calibration is fed with: pictures, user scripts, arrays, or what is made without any."""

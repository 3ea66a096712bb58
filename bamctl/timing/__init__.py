"""Latency: measured on the device at hand, or estimated from a device profile.

- `placed`: what attention modules add to the latency of a network
- `measure`: two networks timed in turn
- `profiles`: device profiles; those that are shipped are in `devices/`
- `calibration`, `fitting`: how a profile is made, and how far its estimates are off
- `setup`: device, precision, memory format and compilation of a measurement
"""

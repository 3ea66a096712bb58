"""Latency: measured on the device at hand, or estimated from a device profile.

- `placed`: what attention modules add to the latency of a network
- `measure`: two networks timed in turn
- `profiles`: device profiles; the shipped ones are in `devices/`
- `calibration`, `fitting`: making a device profile, and the errors of its estimates
- `setup`: device, precision, memory format and compilation of a measurement
"""

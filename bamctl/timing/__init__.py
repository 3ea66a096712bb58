"""Latency: measured on the device at hand, or estimated for one that is not.

- `latency`: what attention modules add to the latency of a network
- `comparison`: several placements, or several devices, beside each other
- `measure`, `measured`: networks timed in turn; modules timed alone
- `placed`: estimates for a traced network, with their intervals
- `profiles`: device profiles; the fitted ones are in `devices/`
- `sheets`, `population`: data sheets, and what the fitted devices tell of any other
- `known`: published figures of a device, for a profile from its data sheet
- `times`, `calibration`, `fitting`: making a device profile, and the errors of its estimates
- `learning`: the coefficients of several devices at once, each left out in turn
- `setup`: device, precision, memory format and compilation of a measurement
"""

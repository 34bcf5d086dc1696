"""What benchmarks/situations.py draws, runs and checks: 59 situations in which such programs have failed."""

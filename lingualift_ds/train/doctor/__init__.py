"""What this machine brings to training, check by check: each gives lines for the table of `lingualift-ds doctor`."""

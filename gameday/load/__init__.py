"""Load: Locust out of process, and the pacing that locustfiles use."""
